#!/usr/bin/env python3
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure the way of the mail: the collection's content filter beside Debian's defaults, stage by stage.

Three containers: two mail servers, and a client that sends with Postfix's smtp-source. Both servers are the
collection's Postfix, Dovecot and OpenLDAP; one has its content filter too, the other amavis, SpamAssassin and ClamAV as
Debian's packages and their documentation set them up. One more, limited to 2 GB, shows clamd with as many signatures as
the official ones while it reloads them. All share this machine's processors: it should have nothing else to do.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import io
import itertools
import json
import os
import random
import re
import shlex
import smtplib
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
EICAR = REPOSITORY / "examples" / "files" / "eicar.ndb"
SET = "bench-mail"
TUNED, DEBIAN, CLIENT, SMALL = "tuned.example.org", "debian.example.org", "client.example.net", "small.example.org"
ACCOUNTS = [f"user{number}@example.org" for number in range(10)]
SENDER = "somebody@example.net"
WIRE = SMTP.clone(max_line_length=0)  # each field in one line
MB = 1 << 20

KINDS = "sssssspppa"  # of ten messages: small ones, newsletters, one with attachments
SESSIONS = 20  # connections at a time; one client may hold 30
ROUNDS = 2  # turns of each side at a stage
WARM = 20  # messages before anything is measured
PACED = 30  # messages in a turn for the latency
PATIENCE = 240  # seconds in which the last message must be in its mailbox

MEMORY = "2g"
# The official ones are 8.7 million. Some are no hashes and take more memory: with these clamd has as much, 1.25 GB.
SIGNATURES = {"hdb": 2_500_000, "hsb": 3_000_000, "mdb": 4_700_000}
CALM = 10  # seconds of mail before and after the reload
VIRUS = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@dataclasses.dataclass(frozen=True)
class Stage:
    """What mail goes through; so many messages as fast as they are taken, and some at a pace that both sides keep."""

    title: str
    messages: int
    pace: float  # messages a second
    scan: bool = False
    score: bool = False


PLAIN = Stage("Postfix into Dovecot", 400, 10)
PASSING = Stage("amavis passes everything", 200, 5)
ALL = Stage("ClamAV and SpamAssassin", 120, 2, scan=True, score=True)
STAGES = [PLAIN, PASSING, Stage("ClamAV", 200, 5, scan=True), Stage("SpamAssassin", 120, 2, score=True), ALL]


@dataclasses.dataclass
class Figures:
    """What was measured of one side at one stage, in seconds."""

    messages: int = 0
    wall: float = 0
    cpu: float = 0
    latencies: list[float] = dataclasses.field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.messages / self.wall

    @property
    def cost(self) -> float:
        """Milliseconds of processor for a message."""
        return 1000 * self.cpu / self.messages

    def cells(self) -> str:
        median, late = statistics.median(self.latencies), statistics.quantiles(self.latencies, n=100)[98]
        return f"{self.rate:9.1f}{self.cost:9.0f}{1000 * median:9.0f}{1000 * late:9.0f}"


class Host:
    """A container, asked over ssh as Ansible does."""

    def __init__(self, name: str, data: dict[str, Any], folder: Path) -> None:
        self.name, self.data, self.folder = name, data, folder
        self.address = str(data["ansible_host"])
        key, login = data["ansible_ssh_private_key_file"], f"ControlPath={folder}/%C"
        self.ssh = ["ssh", *data["ansible_ssh_common_args"].split(), "-i", key, "-o", login]
        self.ssh += ["-o", "ControlMaster=auto", "-o", "ControlPersist=60", f"root@{self.address}"]

    def sh(self, script: str, given: bytes = b"", shell: str = "bash -euo pipefail") -> str:
        """Return what a script prints; a failed one ends the benchmark."""
        command = [*self.ssh, f"{shell} -c {shlex.quote(script)}"]
        done = subprocess.run(command, input=given, capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(f"bench-mail: {self.name}: {script}\n{done.stdout.decode()}{done.stderr.decode()}")
        return done.stdout.decode()

    def site(self, **variables: Any) -> None:
        """Make the host what a site's variables say."""
        own = {
            "mail_domains": ["example.org"],
            "mail_accounts": [{"address": address} for address in ACCOUNTS],
            "mail_state_dir": str(self.folder / self.name),
            "mail_authentication": False,
            "mail_sender_domain_must_exist": False,  # there is no DNS here
            "mail_dane": False,
            "mail_mta_sts_check": False,
            "mail_clamav_official": False,
            "mail_clamav_signatures": [str(EICAR)],
            **variables,
        }
        inventory = self.folder / f"{self.name}.json"
        inventory.write_text(json.dumps({"mail": {"hosts": {self.name: self.data}, "vars": own}}), encoding="utf-8")
        command = ["ansible-playbook", "-i", str(inventory), "postamt.mail.site"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stdout)

    def cursor(self) -> str:
        """Return where the journal ends."""
        return shlex.quote(self.sh("journalctl -q -n 0 --show-cursor").partition("-- cursor: ")[2].strip())

    def cpu(self) -> float:
        """Return the seconds of processor that the container has had (cgroup v1, v2)."""
        v1, v2 = "/sys/fs/cgroup/cpuacct/cpuacct.usage", "/sys/fs/cgroup/cpu.stat"
        return int(self.sh(f"cat {v1} 2>/dev/null || awk '/^usage_usec/ {{ print $2 \"000\" }}' {v2}")) / 1e9


def say(text: str) -> None:
    """Progress goes to standard error; standard output is for the tables."""
    print(f"bench-mail: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def hosts(name: str, *names: str, memory: str | None = None) -> Iterator[list[Host]]:
    """Lend a set of containers whose journals lose nothing."""
    command = [str(REPOSITORY / "tools" / "hosts.py")]
    limit = ["--memory", memory] if memory else []
    try:
        up = [*command, "up", name, "--image", "test", *limit, *names]
        found = json.loads(subprocess.run(up, check=True, stdout=subprocess.PIPE).stdout)["all"]["hosts"]
        with tempfile.TemporaryDirectory() as folder:
            lent = [Host(host, found[host], Path(folder)) for host in names]
            for host in lent:
                host.sh(
                    "mkdir -p /etc/systemd/journald.conf.d\n"
                    "printf '[Journal]\\nRateLimitIntervalSec=0\\n' > /etc/systemd/journald.conf.d/bench.conf\n"
                    "systemctl restart systemd-journald"
                )
            yield lent
    finally:
        subprocess.run([*command, "down", name], check=True)


# --- Messages

WORDS = re.findall(
    r"\w+",
    "the of and to in that we is for it with as on be by this at from or are you have our not which your will can all "
    "was please meeting report order delivery invoice project customer number week month friday question answer thank "
    "regards attached document office product price service contract support team plan table change system server "
    "house train weather garden coffee music letter summer winter bridge market river family school history",
)


def corpus(name: str, count: int, sender: str = SENDER, sign: Callable[[bytes], bytes] = bytes) -> bytes:
    """Return a tar of messages, no two of them alike, and the same ones for the same name but for their date.

    sign: returns a message with signatures.
    """
    random.seed(name)  # which email.generator takes its boundaries from, too
    kinds = list(itertools.islice(itertools.cycle(KINDS), count))
    random.shuffle(kinds)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for number, kind in enumerate(kinds):
            content = sign(message(f"{name}-{number}", kind, sender).as_bytes(policy=WIRE)).replace(b"\r\n", b"\n")
            entry = tarfile.TarInfo(f"{name}-{number}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def message(name: str, kind: str, sender: str = SENDER) -> EmailMessage:
    """Return a message of 2 kB, a newsletter of 50 kB that is mostly markup, or one with 300 kB of attachments."""
    made = EmailMessage()
    made["From"], made["To"], made["Date"] = sender, "undisclosed-recipients:;", formatdate()
    made["Subject"], made["Message-ID"] = text(30).split("\n")[0], f"<{name}@bench>"
    made.set_content(text(6000 if kind == "p" else 1500))
    if kind == "p":
        row = '<tr><td style="padding: {0}px; color: #{1:06x}"><a href="https://example.com/{1}">{2}</a></td></tr>\n'
        rows = [row.format(random.randint(1, 99), random.getrandbits(24), text(30)) for _ in range(285)]
        made.add_alternative(f"<html><body><table>{''.join(rows)}</table></body></html>", subtype="html")
    if kind == "a":
        made.add_attachment(archive(), maintype="application", subtype="zip", filename="report.zip")
        scan = b"%PDF-1.4\n" + random.randbytes(80_000) + b"\n%%EOF\n"
        made.add_attachment(scan, maintype="application", subtype="pdf", filename="scan.pdf")
    return made


def text(size: int) -> str:
    """Return lines of known words and unknown ones."""
    found: list[str] = []
    while size > 0:
        unknown = "".join(random.choices("abcdefghiklmnoprstuvwz", k=random.randint(3, 10)))
        line = " ".join([*random.choices(WORDS, k=random.randint(4, 9)), unknown]).capitalize() + "."
        found.append(line)
        size -= len(line) + 1
    return "\n".join(found)


def archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("report.txt"), text(60_000), zipfile.ZIP_DEFLATED)  # of no date
        # with random bytes first it would be a banned program to file(1), now and then
        file.writestr(zipfile.ZipInfo("table.bin"), b"TABLE\n" + random.randbytes(110_000))
    return packed.getvalue()


# --- The two sides

DEFAULTS = r"""
apt-get -qq update
# SpamAssassin's package recommends it, so apt installs it; it compiles the rules
DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends sa-compile
apt-get -qq -y remove libfile-libmagic-perl                 # which no package of these asks for
adduser --quiet clamav amavis                               # README.Debian of amavisd-new
echo example.org > /etc/mailname                            # as Postfix's package asks for it
echo 'dns_available no' >> /etc/spamassassin/local.cf       # on both sides: nobody would answer
cat > /var/lib/clamav/eicar.ndb
for unit in service socket; do                              # they would wait for the official signatures
    mkdir -p /etc/systemd/system/clamav-daemon.$unit.d
    printf '[Unit]\nConditionPathExistsGlob=\n' > /etc/systemd/system/clamav-daemon.$unit.d/bench.conf
done
systemctl daemon-reload
# README.postfix of amavisd-new
postconf -e content_filter=amavisfeed:[127.0.0.1]:10024
cat >> /etc/postfix/master.cf <<'END'
amavisfeed unix - - n - 2 smtp
    -o smtp_data_done_timeout=1200
    -o smtp_send_xforward_command=yes
    -o smtp_tls_note_starttls_offer=no
127.0.0.1:10025 inet n - n - - smtpd
    -o content_filter=
    -o smtpd_delay_reject=no
    -o smtpd_client_restrictions=permit_mynetworks,reject
    -o smtpd_helo_restrictions=
    -o smtpd_sender_restrictions=
    -o smtpd_recipient_restrictions=permit_mynetworks,reject
    -o smtpd_data_restrictions=reject_unauth_pipelining
    -o smtpd_end_of_data_restrictions=
    -o smtpd_restriction_classes=
    -o mynetworks=127.0.0.0/8
    -o smtpd_error_sleep_time=0
    -o smtpd_soft_error_limit=1001
    -o smtpd_hard_error_limit=1000
    -o smtpd_client_connection_count_limit=0
    -o smtpd_client_connection_rate_limit=0
    -o receive_override_options=no_header_body_checks,no_unknown_recipient_checks,no_milters
    -o local_header_rewrite_clients=
    -o smtpd_milters=
    -o local_recipient_maps=
    -o relay_recipient_maps=
END
systemctl restart postfix
"""
# Dovecot's own: a process for each delivery
LMTP = {"service lmtp": {"service_count" if os.environ.get("RELEASE") == "bookworm" else "restart_request_count": None}}
MODE = "/etc/amavis/conf.d/15-content_filter_mode"  # which says what to uncomment


def prepare(stage: Stage, tuned: Host, debian: Host) -> None:
    """Set up both sides for a stage; what their filters remember of the stage before is gone."""
    tuned.site(
        mail_content_filter="before_queue",
        mail_antivirus=stage.scan,
        amavis_settings={} if stage.score else {"@bypass_spam_checks_maps": [True]},
    )
    tuned.sh("systemctl restart amavis" + " clamav-daemon" * stage.scan)
    wanted = [what for what, on in (("virus", stage.scan), ("spam", stage.score)) if on]
    uncomment = "".join(f"/^#@bypass_{what}_checks_maps/,/;/s/^#//;" for what in wanted)
    debian.sh(
        f"[ -f /root/mode ] || cp {MODE} /root/mode\n"
        f"sed '{uncomment}' /root/mode > {MODE}\n"
        f"systemctl {'restart' if stage.scan else 'stop'} clamav-daemon.socket clamav-daemon\n"
        "systemctl restart amavis"
    )
    for host in (tuned, debian):
        host.sh(
            "until [ -S /var/spool/postfix/amavis/world ] || (exec 3<>/dev/tcp/127.0.0.1/10024) 2>/dev/null; do "
            "sleep 0.5; done"
        )


# --- Throughput

SEND = """
send='echo "$0 $EPOCHREALTIME"; smtp-source -m 1 -f "$2" -t "$1" -F "/var/tmp/$0" "$3" 2>&1 || true'
while read -r line; do echo "$line"; {pause}; done | xargs -P {sessions} -L 1 bash -c "$send"
"""
ARRIVED = """
mail() {{ journalctl -q --after-cursor={cursor} -o short-unix -t postfix/lmtp -t postfix/cleanup; }}
until [ $(mail | grep -c status=sent) -ge {count} ] || [ $SECONDS -ge {patience} ]; do sleep 0.5; done
mail
"""


def deliver(
    client: Host, server: Host, names: list[str], pace: float = 0, sender: str = SENDER
) -> tuple[float, list[float]]:
    """Send messages, as fast as they are taken or at a pace; return seconds until the last is in, and those of each.

    client: may be the server, whose programs send then.
    """
    cursor = server.cursor()
    targets = zip(names, itertools.cycle(ACCOUNTS), strict=False)
    address = "127.0.0.1" if client is server else server.address
    lines = "".join(f"{name} {to} {sender} {address}:25\n" for name, to in targets)
    script = SEND.format(sessions=SESSIONS, pause=f"sleep {1 / pace}" if pace else ":")
    said = client.sh(script, lines.encode())
    started = {name: float(when) for name, when in re.findall(r"(?m)^([\w-]+) ([\d.]+)$", said)}
    if said.count("\n") != len(names):  # smtp-source says nothing where all is well
        raise SystemExit(f"bench-mail: {server.name} did not take each message:\n{said}")
    journal = server.sh(ARRIVED.format(cursor=cursor, count=len(names), patience=PATIENCE))
    # a message that went through the filter after the queue has been in the queue twice
    queued = dict(re.findall(r"(\w+): message-id=<([\w-]+)@bench>", journal))
    sent = re.findall(r"^(\S+) .*: (\w+): to=<.*status=sent", journal, re.MULTILINE)
    arrived = {queued[queue_id]: float(when) for when, queue_id in sent}
    if lost := started.keys() - arrived.keys():
        raise SystemExit(f"bench-mail: {server.name}: {len(lost)} messages did not arrive, {min(lost)} among them")
    return max(arrived.values()) - min(started.values()), [arrived[name] - started[name] for name in started]


def measure(figures: Figures, client: Host, server: Host, stage: Stage, turn: int, scale: float) -> None:
    """Add one turn of a side: how many messages a second it takes, then how long each takes when they are few."""
    count, few = round(scale * stage.messages), round(scale * PACED)
    before = server.cpu()
    wall, _late = deliver(client, server, [f"{turn}-{number}" for number in range(count)])
    figures.cpu += server.cpu() - before
    figures.wall += wall
    figures.messages += count
    figures.latencies += deliver(client, server, [f"{turn}-paced-{number}" for number in range(few)], stage.pace)[1]


PROCESSES = r"""
import collections, json, os, re
found = collections.defaultdict(lambda: [0, 0])
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        place, name = os.path.split(os.readlink(f"/proc/{pid}/exe"))
        pss = int(re.search(r"(?m)^Pss: +(\d+)", open(f"/proc/{pid}/smaps_rollup").read())[1])
    except OSError:  # gone meanwhile
        continue
    owner = re.search("postfix|dovecot", place)
    name = f"{owner[0]} {name}" if owner else {"perl": "amavisd"}.get(name, name)
    found[name][0] += 1
    found[name][1] += pss / 1024
print(json.dumps(found))
"""


def processes(host: Host) -> dict[str, tuple[int, float]]:
    """Return how many processes of each type there are, and MB; what several share is divided among them (PSS)."""
    found: dict[str, tuple[int, float]] = json.loads(host.sh(PROCESSES, shell="python3"))
    others = ("systemd", "sshd", "bash", "python", "dbus", "agetty")
    return {name: data for name, data in found.items() if not name.startswith(others)}


def throughput(scale: float) -> None:
    """Measure both sides in turns, and print the tables."""
    figures = {(stage, name): Figures() for stage in STAGES for name in (TUNED, DEBIAN)}
    with hosts(SET, TUNED, DEBIAN, CLIENT) as (tuned, debian, client):
        for host in (tuned, debian):
            host.site(mail_content_filter="off", **({} if host is tuned else {"dovecot_settings": LMTP}))
        client.sh("tar -x -C /var/tmp", corpus("warm", WARM))
        for turn in range(ROUNDS):
            client.sh("tar -x -C /var/tmp", corpus(f"{turn}", max(stage.messages for stage in STAGES)))
            client.sh("tar -x -C /var/tmp", corpus(f"{turn}-paced", PACED))
        for stage in STAGES:
            say(stage.title)
            if stage is PASSING:
                debian.sh(DEFAULTS, EICAR.read_bytes())
            if stage is not PLAIN:
                prepare(stage, tuned, debian)
            for host in (tuned, debian):
                deliver(client, host, [f"warm-{number}" for number in range(WARM)])
            for turn in range(ROUNDS):
                for host in (tuned, debian):
                    measure(figures[stage, host.name], client, host, stage, turn, scale)
        used = [processes(host) for host in (tuned, debian)]
    report(figures, used)


def report(figures: dict[tuple[Stage, str], Figures], used: list[dict[str, tuple[int, float]]]) -> None:
    head = f"{'per s':>9}{'CPU ms':>9}{'median':>9}{'99 %':>9}"
    print(f"\n{'':26}{'postamt.mail':>36}{'Debian defaults':>36}\n{'':26}{head}{head}{'ratio':>9}")
    for stage in STAGES:
        tuned, debian = figures[stage, TUNED], figures[stage, DEBIAN]
        print(f"{stage.title:26}{tuned.cells()}{debian.cells()}{tuned.rate / debian.rate:9.2f}")
    paces = ", ".join(f"{stage.pace:g}" for stage in STAGES)
    print(f"""
per s         messages a second, sent over {SESSIONS} connections, until the last is in its mailbox
CPU ms        processor time of the whole server for a message
median, 99 %  milliseconds from the client's start to the mailbox, at {paces} messages a second

Of ten messages {KINDS.count("s")} have 2 kB, {KINDS.count("p")} 50 kB, {KINDS.count("a")} 300 kB in attachments.
Neither side asks DNS, where nobody would answer.
""")
    print(f"{'memory, all at work':26}{'number':>27}{'MB':>9}{'number':>27}{'MB':>9}")
    for name in sorted({*used[0], *used[1]}, key=lambda name: -max(side.get(name, (0, 0.0))[1] for side in used)):
        cells = [side.get(name, (0, 0.0)) for side in used]
        if max(size for _number, size in cells) >= 1:
            print(f"{name:26}" + "".join(f"{number:27}{size:9.0f}" for number, size in cells))
    print(f"{'together':26}" + "".join(f"{'':27}{sum(size for _n, size in side.values()):9.0f}" for side in used))
    tuned, debian, passing = figures[ALL, TUNED], figures[ALL, DEBIAN], figures[PASSING, TUNED]
    print(f"""
{ALL.title}: {tuned.rate / debian.rate:.2f} times Debian's defaults in messages a second.
Of {len(os.sched_getaffinity(0))} processors, shared with the client, {tuned.cpu / tuned.wall:.1f} worked for it, \
{debian.cpu / debian.wall:.1f} for Debian's; of {tuned.cost:.0f} ms for a message the two scanners
take {tuned.cost - passing.cost:.0f} (Debian's {debian.cost - figures[PASSING, DEBIAN].cost:.0f}).""")


# --- clamd with as many signatures as the official ones, and little memory

PAD = """
import random
for kind, count in {counts}.items():
    with open("/var/lib/clamav/bench." + kind, "w") as file:
        for number in range(count):
            digest, size = random.randbytes(32 if kind == "hsb" else 16).hex(), random.randrange(512, 1 << 20)
            pair = (size, digest) if kind == "mdb" else (digest, size)
            file.write("%s:%s:Win.Trojan.Agent-%d\\n" % (*pair, number))
"""
SAMPLE = r"""
import glob, re, time
V1, V2 = "/sys/fs/cgroup/memory/memory.", "/sys/fs/cgroup/memory."
def read(path):
    try:
        return open(path).read()
    except OSError:
        return ""
def number(text, *names):
    return sum(int(line.split()[1]) for line in text.splitlines() if line.split()[0] in names)
while True:
    used = number(read(V1 + "stat"), "total_rss", "total_shmem") or number(read(V2 + "stat"), "anon", "shmem")
    killed = number(read(V1 + "oom_control") + read(V2 + "events"), "oom_kill")
    each = [text for text in map(read, glob.glob("/proc/[0-9]*/status")) if text.startswith("Name:\tclamd\n")]
    clamd = sum(1024 * int(re.search(r"VmRSS:\s+(\d+)", text)[1]) for text in each)
    print(time.time(), used, clamd, killed, flush=True)
    time.sleep(0.2)
"""
RELOAD = """
systemctl reload clamav-daemon
until journalctl -q -o cat -t clamd --after-cursor={cursor} | grep -m 1 'Database correctly reloaded'; do
    [ $SECONDS -lt {patience} ]
    sleep 0.2
done
"""


@dataclasses.dataclass(frozen=True)
class Sample:
    """A container's memory at a moment, in bytes."""

    when: float
    used: int  # what cannot be taken back, as files' caches can
    clamd: int
    killed: int  # processes, by the kernel, since the container's start


@contextlib.contextmanager
def sampled(host: Host) -> Iterator[list[Sample]]:
    """Sample a host's memory; the list is filled at the end."""
    samples: list[Sample] = []
    command = [*host.ssh, f"timeout {2 * PATIENCE} python3 -c {shlex.quote(SAMPLE)}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        reader = threading.Thread(target=lambda out: samples.extend(map(sample, out)), args=(process.stdout,))
        reader.start()
        try:
            yield samples
        finally:
            process.terminate()
            reader.join()


def sample(line: str) -> Sample:
    when, *numbers = line.split()
    return Sample(float(when), *map(int, numbers))


def attempt(server: Host, number: int) -> tuple[str, str, float]:
    """Send one message, every second one with EICAR; return which it was, what became of it, and after how long."""
    start = time.monotonic()
    kind = "EICAR" if number % 2 else "clean mail"
    outcome = "accepted"
    made = message(f"reload-{number}", "s")
    if kind == "EICAR":
        made.add_attachment(VIRUS, maintype="application", subtype="octet-stream", filename="report.txt")
    try:
        with smtplib.SMTP(server.address, timeout=PATIENCE) as smtp:
            smtp.send_message(made, SENDER, [ACCOUNTS[number % len(ACCOUNTS)]])
    except smtplib.SMTPResponseException as error:
        outcome = "refused" if error.smtp_code >= 500 else "deferred"
    except OSError:
        outcome = "deferred"  # a client without an answer tries again
    return kind, outcome, time.monotonic() - start


def reload(counts: dict[str, int]) -> None:
    """Print what clamd's reload takes of a small host's memory, and what becomes of mail meanwhile."""
    say(f"clamd reloads in a container of {MEMORY}")
    with hosts(f"{SET}-small", SMALL, memory=MEMORY) as (small,):
        small.sh(PAD.format(counts=counts), shell="python3")
        size = int(small.sh("cat /var/lib/clamav/bench.* | wc -c"))
        # so that the sizing counts on the official signatures; freshclam finds nobody to ask for them
        small.site(mail_content_filter="before_queue", mail_clamav_official=True, mail_clamav_mirror="127.0.0.1")
        cursor, ended = small.cursor(), threading.Event()
        sending: list[concurrent.futures.Future[tuple[str, str, float]]] = []

        def send() -> None:
            while not ended.wait(0.5):
                sending.append(pool.submit(attempt, small, len(sending)))

        with sampled(small) as samples, concurrent.futures.ThreadPoolExecutor(SESSIONS) as pool:
            sender = threading.Thread(target=send)
            sender.start()
            time.sleep(CALM)
            began = time.time()
            said = small.sh(RELOAD.format(cursor=cursor, patience=PATIENCE))
            done = time.time()
            time.sleep(CALM)
            ended.set()
            sender.join()
            tried = [future.result() for future in sending]
        became = Counter((kind, outcome) for kind, outcome, _seconds in tried)
        accepted = became["clean mail", "accepted"]
        journal = small.sh(ARRIVED.format(cursor=cursor, count=accepted, patience=PATIENCE))
    print(
        f"\nclamd with {sum(counts.values())} signatures, {size / MB:.0f} MB of files, in a container of {MEMORY} "
        f"without swap\n\n{'most MB':26}{'container':>12}{'clamd':>9}{'seconds':>9}"
    )
    for name, start, end in (("before", 0, began), ("while it reloads", began, done), ("after", done, time.time())):
        found = [one for one in samples if start <= one.when < end]
        used, clamd = max(one.used for one in found), max(one.clamd for one in found)
        print(f"{name:26}{used / MB:12.0f}{clamd / MB:9.0f}{found[-1].when - found[0].when:9.1f}")
    print(f"\n{said.strip()}; killed for want of memory: {samples[-1].killed}")
    print("; ".join(f"{kind} {outcome}: {count}" for (kind, outcome), count in sorted(became.items())), end="; ")
    print(f"the longest wait for an answer: {max(seconds for _kind, _outcome, seconds in tried):.0f} s")
    if samples[-1].killed or became["EICAR", "accepted"] or journal.count("status=sent") != accepted:
        raise SystemExit("bench-mail: a process was killed, EICAR passed, or accepted mail did not arrive")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("part", nargs="?", choices=("throughput", "memory"), help="one of the two parts only")
    parser.add_argument("--quick", action="store_true", help="few messages and signatures, to see whether it works")
    asked = parser.parse_args()
    os.environ["ANSIBLE_CONFIG"] = str(REPOSITORY / "examples" / "ansible.cfg")
    if asked.part != "memory":
        throughput(0.1 if asked.quick else 1)
    if asked.part != "throughput":
        reload({kind: count // 100 if asked.quick else count for kind, count in SIGNATURES.items()})


if __name__ == "__main__":
    main()
