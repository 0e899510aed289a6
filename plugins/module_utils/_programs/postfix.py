# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Postfix checks a staged configuration, builds its tables, and takes a new one up."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Collection, Iterable, Mapping

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, forms, secrecy, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Contents, Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.target import Target, settings, unified

FOLDER = "/etc/postfix"
MAIN, MASTER = f"{FOLDER}/main.cf", f"{FOLDER}/master.cf"
ALIASES = "/etc/aliases"  # the administrator's, and packages add to it
QUEUE = "/var/spool/postfix"
RESOLVERS = "/etc/resolv.conf"
CHROOTS_RESOLVERS = f"{QUEUE}{RESOLVERS}"  # Debian copies the host's file there
SMTPD = "/usr/lib/postfix/sbin/smtpd"
SHIPPED = "/usr/share/postfix"
INSTANCES = "/lib/systemd/system-generators/postfix-instance-generator"  # Debian 12; 13 has one unit
RESTART = ("inet_interfaces", "inet_protocols")  # postconf(5): "stop and start Postfix when this parameter changes"

# What Debian's postinst asks of debconf or of the host and writes into main.cf.
ASKED = (
    "myhostname", "myorigin", "alias_maps", "alias_database", "mydestination", "relayhost", "mynetworks",
    "mailbox_size_limit", "recipient_delimiter", "inet_interfaces", "inet_protocols", "mailbox_command",
    "smtpd_relay_restrictions", "compatibility_level",
)  # fmt: skip


class Postfix(Program):
    evidence_needs = ("host_aliases",)

    def companion_units(self, unit: str) -> tuple[str, ...]:
        return ("postfix@-.service",) if unit == "postfix.service" and files.exists(INSTANCES) else ()

    def staged(self, path: str, content: str) -> str:
        # A running proxymap refuses tables that it does not know yet.
        return re.sub(r"\bproxy:(?=[a-z])", "", content) if path in self.last else content

    def product(self, build: str, path: str) -> str:
        return f"{path}.lmdb"

    def build(self, build: str, path: str, stage: str) -> None:
        # Without main.cf of the stage, a broken one that is installed would be in the way.
        built = units.output("postmap", "-c", stage + FOLDER, f"{build}:{stage}{path}", check=False)
        if built.returncode != 0:
            raise units.Failed("; ".join(complaints(built.stderr)))

    def check(self, stage: str, dry: bool) -> list[str]:
        folder = stage + FOLDER
        asked = {option: units.output("postconf", "-c", folder, option, check=False) for option in ("-n", "-M", "-P")}
        problems = [problem for answer in asked.values() for problem in complaints(answer.stderr)]
        # A line that it cannot read, Postfix skips, and says so in the log when mail comes.
        for name in patterns(asked["-n"].stdout + asked["-P"].stdout):
            table = name.replace("$config_directory", folder)
            problems += complaints(units.output("postmap", "-c", folder, "-q", "postamt", table, check=False).stderr)
        running = bool(_processes())
        # What `postfix check` sees beyond this are owners of folders: worth its time before a start, not before each
        # reload. Without the queue's folders it would make them, which is for the first start.
        if not problems and not running and files.exists(f"{QUEUE}/hold"):
            checked = units.output("postfix", "-c", folder, "check", check=False)
            if checked.returncode != 0:
                problems = complaints(checked.stderr) or [f"postfix check: exit code {checked.returncode}"]
        if problems:
            return problems
        services = asked["-M"].stdout
        for options in smtpd_options(services, asked["-P"].stdout):
            # Where Postfix does not run there is no tlsmgr to ask.
            problems += self.smtpd_problems(folder, options if running else [*options, "smtpd_tls_security_level=none"])
        return problems

    def smtpd_problems(self, folder: str, options: list[str]) -> list[str]:
        """Have an smtpd of its own read the stage and say goodbye: it knows numbers, tables and TLS levels."""
        words = [word for option in options for word in ("-o", option)]
        called = f"postfix-check-{time.time_ns()}"
        words += ["-o", f"syslog_name={called}"]
        command = ("timeout", "60", SMTPD, "-S", *words)
        code = units.output(*command, check=False, data="QUIT", MAIL_CONFIG=folder).returncode
        if code == 0:
            return []
        units.output("journalctl", "--sync", check=False)  # it speaks to the system's log only
        logged = units.output("journalctl", "-q", "-o", "cat", "-p", "warning", "-t", f"{called}/smtpd", check=False)
        return complaints(logged.stdout) or [f"smtpd: exit code {code}"]

    def ports(self, stage: str) -> set[tuple[str, int]]:
        return listeners(units.output("postconf", "-c", stage + FOLDER, "-M", check=False).stdout)

    def is_package_default(self, path: str, content: str) -> bool:
        if path == MASTER:
            return content == files.text(f"{SHIPPED}/master.cf.dist")
        return path == MAIN and generated(
            content, files.text(f"{SHIPPED}/main.cf.debian") + files.text(f"{SHIPPED}/main.cf.tls")
        )

    def differences(self, desired: Mapping[str, str], targets: list[Target], superseded: list[str]) -> str:
        """Compare parameters and services one by one, in whatever order and layout they stand."""
        told = ""
        for target in targets:
            old = target.text_before or ""
            if target.path in self.last:
                after = listed(" ".join(entry) for entry in forms.entries(target.path, self.planned(target.path)))
                told += unified(
                    target.path, secrecy.without_passwords(entries(old)), "wanted", secrecy.without_passwords(after)
                )
            else:
                told += target.unified()
        return told

    def missing_artifacts(self, leaving: Collection[str]) -> list[str]:
        missing = self.plan["host_aliases"] and not files.exists(f"{ALIASES}.db")
        found = [f"the table of {ALIASES}"] if missing else []
        return [*found, CHROOTS_RESOLVERS] if _resolvers() and not files.text(CHROOTS_RESOLVERS) else found

    def create(self, what: str) -> None:
        """Build the table of the host's own aliases, which its administrator keeps (newaliases(1)).

        Or copy resolv.conf into the chroot: where there is none, a mount in that place would leave an empty file, and
        Debian 13 would not replace that, since it is younger.
        """
        if what == CHROOTS_RESOLVERS:
            files.make_folder(os.path.dirname(what))
            files.write(what, _resolvers(), 0o644)
            return
        if not files.exists(ALIASES):
            files.write(ALIASES, b"# See man 5 aliases for format\n", 0o644)
        units.output("postalias", f"hash:{ALIASES}")

    def needs_restart(self, old: Contents, new: Contents) -> bool:
        return any(name in RESTART for name, _was, _shall_be in self.changed_parameters(old, new))

    def restart(self, names: list[str]) -> None:
        # A restart of Debian 12's wrapper restarts the instance too, unless that one is down already.
        units.act("restart", "postfix.service")
        units.act("start", *names)

    def reload(self, names: list[str]) -> None:
        old = _processes()
        units.output("postfix", "reload")
        # Processes of the old configuration leave when master has read the new one, each in its turn, and must not
        # answer for it until then; only those that a client holds may stay as long as the client does.
        deadline = time.monotonic() + 3
        while old & _processes() - held_by_clients(_connections()) and time.monotonic() < deadline:
            time.sleep(0.02)

    def changed_settings(self, old: Contents, new: Contents) -> list[str]:
        found = [f"{name} = {now} (was {was})" for name, was, now in self.changed_parameters(old, new)]
        return found + [path for path in super().changed_settings(old, new) if path != MAIN]

    def changed_parameters(self, old: Contents, new: Contents) -> list[tuple[str, str, str]]:
        """Return the parameters of main.cf that change, each with its old and its new value."""
        if MAIN not in new:
            return []
        before = parameters(old.get(MAIN) or "")
        # a value may have comments between its lines, which Postfix passes over
        plain = {name: re.sub(r"\n[ \t]*#[^\n]*", "", value) for name, value in self.planned(MAIN).items()}
        after = {name: " ".join(value.split()) for name, value in plain.items()}
        both = ((name, *(side.get(name, "(default)") for side in (before, after))) for name in {*before, *after})
        return sorted((name, was, now) for name, was, now in both if was != now)


def parameters(text: str) -> dict[str, str]:
    """Return the parameters of a main.cf (postconf(5)): continued lines joined, white space made one blank."""
    joined = re.sub(
        r"\n[ \t]+", " ", "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    )
    pairs = (line.split("=", 1) for line in joined.splitlines() if "=" in line)
    return {name.strip(): " ".join(value.split()) for name, value in pairs}


def entries(text: str) -> str:
    """Return the entries of a main.cf or master.cf, each on one line, sorted."""
    return listed(re.sub(r"\n[ \t]+", " ", settings(text)).splitlines())


def listed(lines: Iterable[str]) -> str:
    """Return lines sorted, white space made one blank."""
    return "".join(f"{line}\n" for line in sorted(" ".join(line.split()) for line in lines))


def generated(text: str, shipped: str) -> bool:
    """Tell whether main.cf is as Debian's postinst makes it for a host that nobody has given any mail to carry."""
    found, known = parameters(text), parameters(shipped)
    if any(name not in ASKED and known.get(name) != value for name, value in found.items()):
        return False
    own = {"$myhostname", found.get("myhostname"), files.text("/etc/mailname").strip()}
    here = re.split(r"[,\s]+", found.get("mydestination", ""))
    foreign = [word for word in here if "." in word and word not in own and not word.startswith("localhost.")]
    return not found.get("relayhost") and not foreign


def patterns(text: str) -> list[str]:
    """Return the tables of patterns that parameters name, each once."""
    return sorted(set(re.findall(r"\b(?:pcre|regexp|cidr):[^\s,{}]+", text)))


def smtpd_options(services: str, overrides: str) -> list[list[str]]:
    """Return the -o options of each smtpd of master.cf, from what `postconf -M` and `postconf -P` print."""
    rows = (line.split() for line in services.splitlines() if line[:1].strip())
    names = [f"{row[0]}/{row[1]}" for row in rows if len(row) > 7 and row[7] == "smtpd" and row[1] != "pass"]
    found: list[list[str]] = [[]]
    for name in names:
        prefix = f"{name}/"
        lines = [line.removeprefix(prefix) for line in overrides.splitlines() if line.startswith(prefix)]
        pairs = [tuple(part.strip() for part in line.split("=", 1)) for line in lines if "=" in line]
        # The checking smtpd has nobody to shake hands with.
        options = [f"{key}={value}" for key, value in pairs if key != "smtpd_tls_wrappermode"]
        if options not in found:
            found.append(options)
    return found


def listeners(services: str) -> set[tuple[str, int]]:
    """Return address (empty for all) and port of the inet services that `postconf -M` prints."""
    rows = (line.split() for line in services.splitlines() if line[:1].strip())
    found = set()
    for address, _colon, port in (row[0].rpartition(":") for row in rows if len(row) > 7 and row[1] == "inet"):
        with contextlib.suppress(OSError):  # a name that services(5) does not have: Postfix's checker tells
            found.add((address.strip("[]"), int(port) if port.isdigit() else socket.getservbyname(port, "tcp")))
    return found


def complaints(text: str) -> list[str]:
    """Return what Postfix's programs find wrong, without their names; hints at old habits are no errors."""
    lines = [re.sub(r"^(postfix/)?[a-z-]+(\[\d+\])?: ", "", line).strip() for line in text.splitlines()]
    return [line for line in lines if line and "will be removed" not in line]


def _resolvers() -> bytes:
    """Return the host's resolv.conf; empty where there is none."""
    return "".join(f"{line}\n" for line in files.resolv_conf(RESOLVERS)).encode()


def _processes() -> set[str]:
    """Return the numbers of those processes of a running Postfix that answer clients, or that always run."""
    master = files.text(f"{QUEUE}/pid/master.pid").strip()
    children = files.text(f"/proc/{master}/task/{master}/children").split()
    return {pid for pid in children if files.text(f"/proc/{pid}/comm").strip() in ("qmgr", "pickup", "smtpd")}


def _connections() -> str:
    return units.output("ss", "-Htxp", check=False).stdout


def held_by_clients(connections: str) -> set[str]:
    """Return the numbers of those smtpd to which somebody is connected, as `ss -Htxp` lists connections.

    Those that smtpd has made itself, to other parts of Postfix, have no name at this end.
    """
    rows = (line.split(None, 5) for line in connections.splitlines() if '("smtpd",' in line)
    return {pid for row in rows if row[4] != "*" for pid in re.findall(r'"smtpd",pid=(\d+)', row[5])}
