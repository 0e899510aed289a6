# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The certificates of a host: where they lie, which ports show them, and the command postamt-certificates.

A run uses this file as a module; a host has it as /usr/local/sbin/postamt-certificates too, with files.py in
/usr/local/lib/postamt. So it needs nothing but these two, Python's standard library and openssl(1).

Below the folder (/etc/postamt/tls) each certificate NAME is a symbolic link to a generation, a folder with chain.pem
and key.pem that belong together. A new generation is complete and on disk before one rename(2) of the link makes it the
served one, so nobody finds a key beside another key's certificate, not even after a power cut.

Which program shows a certificate at which ports is in its manifest (/var/lib/postamt/PROGRAM/manifest.json, `serves`),
kept by the run that configured it. Whether it shows the one on disk is asked at the ports themselves.
"""

# A command has no AnsibleModule that would run programs, print and end for it.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import grp
import hashlib
import os
import re
import secrets
import socket
import ssl
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

if __name__ != "__main__" or TYPE_CHECKING:
    from ansible_collections.postamt.mail.plugins.module_utils._engine import files
else:  # the command takes the file that came with it, whatever collections Python finds on this host
    sys.dont_write_bytecode = True
    sys.path.insert(0, "/usr/local/lib/postamt")
    import files

FOLDER = "/etc/postamt/tls"
GROUP = "ssl-cert"
STATE = "/var/lib/postamt"
LOCK = "/run/postamt/services.lock"  # held by whoever changes or reloads a program, a run or this command
BROUGHT = "/etc/postamt/certificates.json"  # names of certificates that a program brings: what each must be for
LEAST_RSA = 2048
GENERATIONS = ".generations"
REQUESTED = ".requested"  # keys whose certificate the controller has not signed yet
BROUGHT_HERE = ".brought"  # what somebody brings, while it is looked at
CA = "ca.pem"
CHAIN = "chain.pem"
KEY = "key.pem"
GENERATE = {
    "ec": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve"),
    "rsa": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"),
}
PATIENCE = 10.0  # seconds in which a reloaded program shows its new certificate
WARN_DAYS = (21, 7, 1)
_KEY = re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\n[\s\S]*?-----END (?:[A-Z]+ )?PRIVATE KEY-----")
_ENVIRONMENT = {**os.environ, "LC_ALL": "C", "PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"}

Run = Callable[..., tuple[int, str, str]]  # AnsibleModule.run_command


class CertificateError(Exception):
    """The host cannot do what it was asked; the text says why."""


class Store:
    """The certificates of a host.

    folder: where they lie. gid: group that may read keys. run: runs openssl. uid: owner of all.
    """

    def __init__(self, folder: str, gid: int, run: Run, uid: int = 0) -> None:
        self.folder = folder
        self.gid = gid
        self.run = run
        self.uid = uid

    def seen(self, matched: bool = False) -> dict[str, Any]:
        """Return the CA's certificate and each certificate: its chain, whether the key matches and is guarded.

        matched: whether it is known that keys and chains match.
        """
        served = {}
        for name in self.names():
            matches = matched or self.matches(self._at(name))
            served[name] = {"chain": self._text(name, CHAIN), "matches": matches, "guarded": self._guarded(name)}
        return {"ca": self._text(CA), "served": served}

    def requested(self, certificates: list[dict[str, str]]) -> dict[str, str]:
        """Return a signing request by name; the key served now is kept where it is of the wanted type.

        certificates: mappings with name and key_type (ec, rsa).
        """
        self._prepare()
        files.private_folder(self._at(REQUESTED), empty=True)
        found = {}
        for item in certificates:
            name, kind = item["name"], item["key_type"]
            key = self._at(REQUESTED, f"{name}.pem")
            served = self._at(name, KEY)
            if self._kind(served) == kind:
                self._write(key, self._read(served), 0o600)
            else:
                self._write(key, self.openssl("genpkey", *GENERATE[kind]).encode("ascii"), 0o600)
            found[name] = self.openssl("req", "-new", "-key", key, "-subj", f"/CN={name}")
        return found

    def installed(self, ca: str, certificates: list[dict[str, str]], removed: list[str]) -> None:
        """Serve chains with their keys (those of the last request, or as given), and the CA; drop what is removed.

        certificates: mappings with name, chain and, where the user supplies it, key, in PEM.
        """
        self._prepare()
        ready = {}
        try:
            for item in certificates:
                ready[item["name"]] = self._generation(item)
            if self._text(CA) != ca:
                self._replace(self._at(CA), ca.encode("ascii"))
            for name in list(ready):
                self._serve(name, ready[name])
                del ready[name]
        finally:
            for left in ready.values():
                files.remove_tree(left)
        for name in removed:
            files.remove(self._at(name))
        for item in certificates:
            files.remove(self._at(REQUESTED, f"{item['name']}.pem"))
        with contextlib.suppress(OSError):  # another certificate's request may be under way
            files.remove_folder(self._at(REQUESTED))
        files.settle([self._at(CA)])
        self._sweep()

    def replaced(self, name: str, chain: str, key: str, brought: Mapping[str, Sequence[str]]) -> bool:
        """Serve a chain and key that lie in files; tells whether they are other ones than those served already.

        brought: the certificates that somebody may bring, and the names that each must be for.
        """
        if name not in self.names() or name not in brought:
            known = ", ".join(sorted(set(self.names()) & set(brought))) or "none"
            raise CertificateError(
                f"{name} is no certificate that a program brings to this host (known: {known}): mail_certificates says "
                "so by hook, and mail_acme"
            )
        found = chain_of(self._read(chain).decode("ascii", "replace"))
        certificates = [*dict.fromkeys(found)]  # a full chain beside a file of intermediates holds those twice
        private = re.search(_KEY, self._read(key).decode("ascii", "replace"))
        if not certificates:
            raise CertificateError(f"{chain} holds no certificate in PEM")
        if not private or "ENCRYPTED" in private[0]:
            raise CertificateError(f"{key} holds no private key in PEM without a pass phrase")
        item = {"name": name, "chain": "".join(map(ssl.DER_cert_to_PEM_cert, certificates)), "key": f"{private[0]}\n"}
        try:  # of what was read, since whoever brings the files may exchange them meanwhile
            place = files.private_folder(self._at(BROUGHT_HERE), empty=True)
            for part, content in ((CHAIN, item["chain"]), (KEY, item["key"])):
                self._write(f"{place}/{part}", content.encode("ascii"), 0o600)
            problems = self.problems(f"{place}/{CHAIN}", f"{place}/{KEY}", brought[name])
        finally:
            files.remove_tree(self._at(BROUGHT_HERE))
        if problems:
            raise CertificateError(f"certificate {name} {'; '.join(problems)}; the one that was served stays")
        if self._text(name, CHAIN) == item["chain"] and self._text(name, KEY) == item["key"] and self._guarded(name):
            return False
        self.installed(self._text(CA), [item], [])
        return True

    def problems(self, chain: str, key: str, names: Iterable[str]) -> list[str]:
        """Return what is wrong with a certificate in a file, its chain and its key, as a run judges files too."""
        extensions = "subjectAltName,extendedKeyUsage"
        text = self.openssl("x509", "-in", chain, "-noout", "-startdate", "-enddate", "-ext", extensions)
        dates = dict(re.findall(r"(?m)^(notBefore|notAfter)=(.*)$", text))
        begin, end = (ssl.cert_time_to_seconds(dates[word]) for word in ("notBefore", "notAfter"))
        known = [name.lower() for name in re.findall(r"DNS:([^,\s]+)", text)]
        found = []
        if missing := [name for name in names if not {name, f"*.{name.partition('.')[2]}"} & set(known)]:
            found.append(f"must be for {', '.join(missing)}, and is for {', '.join(known) or 'no name'}")
        if end < time.time():
            found.append(f"has expired on {time.strftime('%Y-%m-%d', time.gmtime(end))}")
        if begin > time.time():
            found.append(f"is not valid before {time.strftime('%Y-%m-%d', time.gmtime(begin))}")
        if "Extended Key Usage" in text and not re.search("TLS Web Server Authentication|Any Extended Key Usage", text):
            found.append("is not for servers (extended key usage serverAuth)")
        private = self.openssl("pkey", "-in", key, "-noout", "-text_pub")
        bits = re.search(r"Public-Key: \((\d+) bit", private)
        if "Modulus:" in private and (not bits or int(bits[1]) < LEAST_RSA):
            found.append(f"has an RSA key of less than {LEAST_RSA} bits")
        elif "Modulus:" not in private and "ASN1 OID:" not in private:
            found.append(f"has no RSA key of at least {LEAST_RSA} bits and no EC key")
        printed = self.openssl("storeutl", "-noout", "-certs", "-text", chain)
        issuers, subjects = (re.findall(rf"(?m)^ +{word}: ?(.*)$", printed) for word in ("Issuer", "Subject"))
        for issuer, subject in zip(issuers, subjects[1:], strict=False):
            if issuer != subject:
                found.append(f"has a chain that is out of order: {issuer} must come where {subject} is")
        return found

    def _generation(self, item: dict[str, str]) -> str:
        name = item["name"]
        path = self._at(GENERATIONS, f"{name}.{secrets.token_hex(4)}")
        files.private_folder(path)
        try:
            key = item.get("key")
            content = key.encode("ascii") if key else self._read(self._at(REQUESTED, f"{name}.pem"))
            self._write(os.path.join(path, KEY), content, 0o640, self.gid)
            self._write(os.path.join(path, CHAIN), item["chain"].encode("ascii"), 0o644)
            if not self.matches(path):
                raise CertificateError(f"certificate {name}: the key is not the certificate's")
            files.make_folder(path, 0o755, self.uid, os.getegid())
            files.settle([os.path.join(path, KEY)])
        except BaseException:
            files.remove_tree(path)
            raise
        return path

    def _serve(self, name: str, path: str) -> None:
        link = self._at(name)
        found = files.status(link)
        if found and not stat.S_ISLNK(found.st_mode):
            raise CertificateError(f"{link} is not of this collection's making: move it away")
        fresh = f"{self._at(GENERATIONS)}/.link"
        files.remove(fresh)
        files.settle([fresh])
        files.link(os.path.relpath(path, self.folder), fresh)
        files.rename(fresh, link)

    def _sweep(self) -> None:
        """Remove the generations that no link names: replaced ones, and what a killed run left."""
        used = {os.path.basename(files.readlink(self._at(name))) for name in self.names()}
        for name in set(files.names(self._at(GENERATIONS))) - used:
            path = self._at(GENERATIONS, name)
            found = files.status(path)
            if found and stat.S_ISDIR(found.st_mode):
                files.remove_tree(path)
            else:
                files.remove(path)

    def _prepare(self) -> None:
        files.make_folder(self._at(GENERATIONS))

    def names(self) -> list[str]:
        """Return the certificates there: the links into the generations."""
        names = files.names(self.folder)
        return [name for name in names if files.readlink(self._at(name)).startswith(f"{GENERATIONS}/")]

    def _guarded(self, name: str) -> bool:
        key, chain, folder = (files.status(self._at(name, part)) for part in (KEY, CHAIN, "."))
        if not (key and chain and folder):
            return False
        return (
            (key.st_mode & 0o7777, key.st_uid, key.st_gid) == (0o640, self.uid, self.gid)
            and (chain.st_mode & 0o7777, chain.st_uid) == (0o644, self.uid)
            and (folder.st_mode & 0o7777, folder.st_uid) == (0o755, self.uid)
        )

    def matches(self, path: str) -> bool:
        """Tell whether a generation's key is that of the first certificate of its chain."""
        try:
            ours = self.openssl("pkey", "-in", os.path.join(path, KEY), "-pubout")
            theirs = self.openssl("x509", "-in", os.path.join(path, CHAIN), "-noout", "-pubkey")
        except CertificateError:
            return False
        return ours == theirs

    def _kind(self, key: str) -> str:
        """Return ec (P-256) or rsa for a key that can be kept, else nothing."""
        try:
            text = self.openssl("pkey", "-in", key, "-noout", "-text_pub")
        except CertificateError:
            return ""
        if "prime256v1" in text:
            return "ec"
        return "rsa" if "Modulus:" in text else ""

    def openssl(self, *arguments: str) -> str:
        code, out, err = self.run(["openssl", *arguments])
        if code:
            raise CertificateError(f"openssl {arguments[0]}: {err.strip()}")
        return out

    def _at(self, *parts: str) -> str:
        return os.path.join(self.folder, *parts)

    def _text(self, *parts: str) -> str:
        try:
            return self._read(self._at(*parts)).decode("ascii", "replace")
        except OSError:
            return ""

    @staticmethod
    def _read(path: str) -> bytes:
        seen = files.see(path)
        if seen is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return seen.content

    def _write(self, path: str, data: bytes, mode: int, gid: int | None = None) -> None:
        files.write(path, data, mode, self.uid, -1 if gid is None else gid)

    def _replace(self, path: str, data: bytes) -> None:
        fresh = self._at(GENERATIONS, ".ca")
        self._write(fresh, data, 0o644)
        files.rename(fresh, path)


@contextlib.contextmanager
def lock(wait: float, path: str = LOCK, whose: str = "postamt-certificates") -> Iterator[None]:
    """Have the host's mail programs to oneself; raises TimeoutError after so many seconds.

    whose: what others are told who wait in vain.
    """
    with files.open_lock(path) as file:
        until = time.monotonic() + wait
        while not locked(file, whose):
            if time.monotonic() > until:
                raise TimeoutError(f"{path} has been held for {wait:.0f} seconds by {holder(file)}") from None
            time.sleep(0.05)
        yield


def locked(file: IO[str], whose: str) -> bool:
    """Take a lock and write into it who has it; tells whether it was free. It is free again when its file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    file.truncate(0)
    file.write(f"process {os.getpid()}, {whose}")
    file.flush()
    return True


def holder(file: IO[str]) -> str:
    """Return who has a lock, in words."""
    file.seek(0)
    return file.read() or "somebody else"


# --- what is shown

Serves = Mapping[str, Any]  # plugin_utils/plan.py: port, protocol, tls, certificates, address


def listening(port: int, tables: Sequence[str] = ("/proc/net/tcp", "/proc/net/tcp6")) -> list[str]:
    """Return the addresses at which somebody listens on a port, loopback for all of a family (proc(5))."""
    found = []
    for table in tables:
        for row in [line.split() for line in files.text(table).splitlines()[1:]]:
            words, number = row[1].split(":")
            if row[3] == "0A" and int(number, 16) == port:
                raw = b"".join(struct.pack("=I", int(words[i : i + 8], 16)) for i in range(0, len(words), 8))
                found.append(socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw))
    loopback6 = f"{1:032x}" in files.text("/proc/net/if_inet6")
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1" if loopback6 else "127.0.0.1"}
    return sorted({everywhere.get(address, address) for address in found if not address.startswith("fe80:")})


def chain_of(text: str) -> list[bytes]:
    """Return the certificates in a text, in order, in DER; nothing where one is damaged."""
    blocks = re.findall(f"{ssl.PEM_HEADER}.*?{ssl.PEM_FOOTER}", text, re.DOTALL)
    try:
        return [ssl.PEM_cert_to_DER_cert(block) for block in blocks]
    except ValueError:
        return []


def wrong(serves: Iterable[Serves]) -> list[str]:
    """Return the ports that do not show the certificate on disk, such as "port 993 of ::1"; all are asked at once.

    A port at which nobody listens is not wrong: whoever starts there reads what is on disk.
    """
    serves = list(serves)
    own = {(item["port"], item["address"]) for item in serves if item["address"]}
    asked = []
    for item in serves:
        heard = listening(item["port"])
        others = [address for address in heard if (item["port"], address) not in own]
        addresses = others if not item["address"] else [item["address"]] if heard else []
        asked += [(item, address, _client(item, address)) for address in addresses]
    found = []
    for item, address, client in asked:
        shown = chain_of(client.communicate()[0].decode("ascii", "replace"))
        wanted = [chain_of(files.text(path)) for path in item["certificates"]]
        # OpenSSL may add the CA that it knows to a chain that ends below it.
        if not any(chain and shown[: len(chain)] == chain for chain in wanted):
            found.append(f"port {item['port']} of {address}")
    return found


def unusable(serves: Iterable[Serves]) -> list[str]:
    """Return what is wrong with the certificates on disk; whoever read them now could not serve any longer."""
    store = Store(FOLDER, -1, _plain_run)
    found = []
    for path in sorted({path for item in serves for path in item["certificates"]}):
        folder, name = os.path.split(path)
        if os.path.dirname(folder) == FOLDER and name == CHAIN:
            if not chain_of(files.text(path)):
                found.append(f"{path} holds no certificate")
            elif not store.matches(folder):
                found.append(f"{path} and {KEY} beside it do not belong together")
    return found


def _client(item: Serves, address: str) -> subprocess.Popen[bytes]:
    where = f"[{address}]:{item['port']}" if ":" in address else f"{address}:{item['port']}"
    command = ["timeout", "15", "openssl", "s_client", "-connect", where, "-showcerts", "-noservername"]
    command += ["-starttls", item["protocol"], "-name", "localhost"] if item["tls"] == "starttls" else []
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, env=_ENVIRONMENT)


def behind(program: str, serves: Sequence[Serves], watch: Mapping[str, str]) -> list[str]:
    """Return what of a program does not use the certificates on disk: ports, or processes that are older.

    watch: digests of the files when the program last read them.
    """
    found = wrong(serves)
    # A busy smtpd does not answer, and afterwards takes more clients with what it read when it started.
    if not found and program == "postfix" and any(files.digest(path) != known for path, known in watch.items()):
        since = max((_changed(path) for path in watch), default=0.0)
        if any(started < since for started in _smtpd_starts()):
            found = ["a process that is older than the certificate"]
    return found


def _changed(path: str) -> float:
    """Return when a path came to mean what it means: its file, or a link on the way, was changed."""
    parts = path.split("/")
    folders = ["/".join(parts[:end]) for end in range(2, len(parts))]
    links = [found for folder in folders if (found := files.status(folder)) and stat.S_ISLNK(found.st_mode)]
    times = [found.st_ctime for found in (*links, files.status(path, follow=True)) if found]
    return max(times, default=0.0)


def _smtpd_starts() -> list[float]:
    """Return when each process of Postfix that shows a certificate was started, in seconds since the epoch."""
    master = files.text("/var/spool/postfix/pid/master.pid").strip()
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    found = []
    for pid in files.text(f"/proc/{master}/task/{master}/children").split():
        name, _parenthesis, rest = files.text(f"/proc/{pid}/stat").partition("(")[2].rpartition(")")
        if name in ("smtpd", "tlsproxy"):
            found.append(booted + int(rest.split()[19]) / os.sysconf("SC_CLK_TCK"))
    return found


def settled(serves: Sequence[Serves], wait: float = PATIENCE) -> list[str]:
    """Return the ports that are still wrong after so many seconds."""
    until = time.monotonic() + wait
    while (left := wrong(serves)) and time.monotonic() < until:
        time.sleep(0.2)
    return left


# --- who shows it

TITLES = {"dovecot": "Dovecot", "haproxy": "HAProxy", "ldap": "slapd", "postfix": "Postfix"}
UNITS = {"haproxy": "postamt-links.service"}  # where the unit is not called like the program


@dataclasses.dataclass
class Program:
    """A program that shows certificates, as its manifest has it."""

    name: str
    path: str
    manifest: dict[str, Any]

    @property
    def title(self) -> str:
        return TITLES.get(self.name, self.name)

    @property
    def serves(self) -> list[Serves]:
        return self.manifest.get("serves") or []

    @property
    def watch(self) -> dict[str, str]:
        return self.manifest.get("watch") or {}

    def shows(self, chain: str) -> bool:
        """Tell whether it listens, and shows the certificate in this file."""
        return any(chain in item["certificates"] and listening(item["port"]) for item in self.serves)

    def remember(self) -> None:
        """Note that it has read its files, unless it does not run."""
        watch = {name: files.digest(name) for name in self.watch}
        if watch != self.watch and any(listening(item["port"]) for item in self.serves):
            files.save(self.path, {**self.manifest, "watch": watch})


def programs(state: str = STATE) -> list[Program]:
    """Return the programs of this host that show certificates."""
    paths = {name: f"{state}/{name}/manifest.json" for name in files.names(state)}
    found = [Program(name, path, files.load(path)) for name, path in paths.items()]
    return [program for program in found if program.serves]


def serve(state: str = STATE) -> tuple[dict[str, str], list[str]]:
    """Reload exactly the programs that do not use the certificates on disk; return why by title, and what is wrong.

    The caller holds the lock.
    """
    done: dict[str, str] = {}
    problems, fine = [], []
    for program in programs(state):
        late = behind(program.name, program.serves, program.watch)
        bad = unusable(program.serves) if late else []
        if bad:
            problems.append(f"{program.title} was not reloaded, since {'; '.join(bad)}")
            continue
        try:
            if late:
                reload(program.name)
                done[program.title] = f"{', '.join(late)} had another certificate than the one on disk"
            fine.append(program)
        except CertificateError as error:
            problems.append(f"{program.title} cannot be reloaded: {error}")
    until = time.monotonic() + PATIENCE
    for program in fine:
        left = settled(program.serves, until - time.monotonic()) if program.title in done else []
        if left:
            problems.append(f"{program.title} still shows another certificate than the one on disk: {', '.join(left)}")
        else:
            program.remember()
    return done, problems


def reload(program: str) -> None:
    """Have a program read its certificates again, connections being kept; raises CertificateError."""
    if program == "postfix":
        _call("postfix", "reload")
    elif program == "ldap":
        _reload_slapd()
    else:
        _call("systemctl", "reload", UNITS.get(program, f"{program}.service"))


def _reload_slapd() -> None:
    """Replace slapd's TLS settings by the same values, all three at once, on which it reads the files."""
    root = ("-Q", "-Y", "EXTERNAL", "-H", "ldapi:///")
    names = ("olcTLSCertificateFile", "olcTLSCertificateKeyFile", "olcTLSCACertificateFile")
    entry = _call("ldapsearch", *root, "-LLL", "-o", "ldif-wrap=no", "-s", "base", "-b", "cn=config", *names)
    lines = {line.partition(":")[0]: line for line in entry.splitlines()}
    again = "-\n".join(f"replace: {name}\n{lines[name]}\n" for name in names if name in lines)
    _call("ldapmodify", *root, data=f"dn: cn=config\nchangetype: modify\n{again}")


def _call(*command: str, data: str | None = None) -> str:
    done = subprocess.run(command, input=data, capture_output=True, text=True, check=False, env=_ENVIRONMENT)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise CertificateError(f"{' '.join(command[:2])}: {words[-1]}")
    return done.stdout


# --- who should know

_LETTER = """\
From: root
To: postmaster
Subject: {subject}
Auto-Submitted: auto-generated

Certificate {name} of {host}, which was issued by
{issuer},
{verb} on {end}.

- If the site's own CA issued it, or an ACME client that the site's variables
  switch on: run the playbook; it renews the one, and says what is wrong with
  the other.
- If you supply its files on the controller: replace them and run the playbook.
- If a program of yours brings it: that calls
  postamt-certificates install {name} CHAIN KEY
"""


def threshold(days: float, warned: int | None) -> int | None:
    """Return the threshold of WARN_DAYS that a certificate has passed and of which nobody has been told yet.

    days: left until it expires. warned: the last threshold that was told.
    """
    passed = min((limit for limit in WARN_DAYS if days <= limit), default=None)
    return passed if passed is not None and (warned is None or passed < warned) else None


def warn(store: Store, record: str, now: float, send: Callable[[str], object]) -> list[str]:
    """Send a letter for each certificate that expires soon, once a threshold; return what was done.

    record: the file that remembers it. now: seconds since the epoch.
    """
    told: dict[str, dict[str, Any]] = files.load(record)
    done = []
    for name in store.names():
        path = os.path.join(store.folder, name, CHAIN)
        leaf = chain_of(files.text(path))[:1]
        if not leaf:
            continue
        number = hashlib.sha256(leaf[0]).hexdigest()
        shown = store.openssl("x509", "-in", path, "-noout", "-enddate", "-issuer", "-nameopt", "RFC2253")
        said = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        end = ssl.cert_time_to_seconds(said["notAfter"])
        before = told.get(name, {})
        due = threshold((end - now) / 86400, before.get("days") if before.get("certificate") == number else None)
        if due is None:
            continue
        verb = "expires" if end > now else "has expired"
        day = time.strftime("%Y-%m-%d", time.gmtime(end))
        host = socket.getfqdn()
        letter = _LETTER.format(
            subject=f"Certificate {name} of {host} {verb} on {day}", name=name, host=host, issuer=said["issuer"],
            verb=verb, end=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(end)),
        )  # fmt: skip
        send(letter)
        told[name] = {"certificate": number, "days": due}
        files.private_folder(os.path.dirname(record))
        files.save(record, told)
        done.append(f"told postmaster that certificate {name} {verb} on {day}")
    return done


# --- the command


def _plain_run(arguments: Sequence[str]) -> tuple[int, str, str]:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=_ENVIRONMENT)
    return done.returncode, done.stdout, done.stderr


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    import argparse

    parser = argparse.ArgumentParser("postamt-certificates", description="The certificates of this mail host.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="reload exactly the programs that show another certificate than the one on disk")
    install = commands.add_parser("install", help="take a new certificate, and serve it; for hooks of ACME clients")
    install.add_argument("name", help="such as public: a name of mail_certificates")
    chain = "file of the certificate and its intermediate certificates, PEM"
    install.add_argument("chain", type=os.path.abspath, help=chain)
    install.add_argument("key", type=os.path.abspath, help="file of its private key, PEM, without a pass phrase")
    commands.add_parser("warn", help=f"write to postmaster of what expires in {', '.join(map(str, WARN_DAYS))} days")
    given = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        store = Store(FOLDER, grp.getgrnam(GROUP).gr_gid, _plain_run)
        with lock(600, whose=f"postamt-certificates {given.command}"):
            if given.command == "warn":
                record = f"{STATE}/certificates/warned.json"
                done = warn(store, record, time.time(), lambda letter: _call("sendmail", "-t", "-oi", data=letter))
                problems: list[str] = []
            else:
                news = given.command == "install" and store.replaced(
                    given.name, given.chain, given.key, files.load(BROUGHT)
                )
                reloaded, problems = serve()
                done = [f"installed certificate {given.name}"] if news else []
                done += [f"reloaded {title}, since {why}" for title, why in reloaded.items()]
    except (CertificateError, OSError, KeyError) as error:
        print(f"postamt-certificates: {error}", file=sys.stderr)
        return 1
    print("; ".join(done) or "nothing to do")
    for problem in problems:
        print(f"postamt-certificates: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
