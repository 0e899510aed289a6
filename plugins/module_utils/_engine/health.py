# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Health checks that a plan may hold (its `questions`): what the program answers before and after a change.

Each kind is a function of this module's KINDS; its parameters are the check's arguments. Checks go through the host's
own outside address, since from loopback a mail server permits everything. Any check may also have `needs`, a list of
"HOST:PORT" and socket paths that a good answer depends on, such as 127.0.0.1:389 where the directory is.
"""

from __future__ import annotations

import dataclasses
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint, ProbeError, Tls, attempts
from ansible_collections.postamt.mail.plugins.module_utils._probes.dns import AAAA, NOERROR, NXDOMAIN, SOA, A, dns_ask
from ansible_collections.postamt.mail.plugins.module_utils._probes.imap import imap_capabilities
from ansible_collections.postamt.mail.plugins.module_utils._probes.managesieve import sieve_capabilities
from ansible_collections.postamt.mail.plugins.module_utils._probes.milter import milter_message
from ansible_collections.postamt.mail.plugins.module_utils._probes.pop3 import pop3_capabilities
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import (
    Reply,
    SmtpRefused,
    lmtp_rcpt,
    smtp_ehlo,
    smtp_greeting,
    smtp_rcpt,
)

YES, NO, LATER, BROKEN, SILENT = "yes", "no", "later", "broken", "silent"
_UNTOLD = ("needs", "process", "text", "ways_out")
TIMEOUT = 10.0  # seconds for one answer; a reverse lookup of our own address may have to time out first


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a program said.

    verdict: yes; no, a lasting refusal; later, a passing one (4xx); broken, where the program says that its own
    configuration is wrong; silent, where it says nothing. down: those of the check's `needs` that were not there.
    """

    verdict: str
    text: str
    down: tuple[str, ...] = ()


NOTHING = Answer(SILENT, "nothing")


def worse(before: Answer, after: Answer) -> bool:
    """Tell whether an answer got worse by the asked program's own fault.

    A refusal is an answer too, and may be the wanted one: only what was said before counts. An answer "later" while
    something that it needs was down before the change as well is not this program's fault.
    """
    if after.verdict in (BROKEN, SILENT):
        return before.verdict not in (BROKEN, SILENT)
    if after.verdict == LATER:
        return before.verdict in (YES, NO) and not before.down
    return after.verdict == NO and before.verdict in (YES, LATER)


def run(
    checks: Sequence[Mapping[str, Any]], wait: float = 0, hopeless: Callable[[], bool] = lambda: False
) -> list[Answer]:
    """Return the answers in the order of the checks; all run at once.

    wait: seconds for which silence is not taken for an answer, since a program needs a moment to start or to reload;
    hopeless: tells whether there is nobody left who might answer.
    """
    answers = [NOTHING] * len(checks)
    with ThreadPoolExecutor(max_workers=8) as pool:
        for _pause in attempts(wait):
            mute = [i for i, answer in enumerate(answers) if _mute(answer)]
            for i, answer in zip(mute, pool.map(_one, [checks[i] for i in mute]), strict=True):
                answers[i] = answer
            if not any(map(_mute, answers)) or hopeless():
                break
    return answers


def _mute(answer: Answer) -> bool:
    """Tell whether somebody else may answer in a moment: a process that leaves at a reload says 421 (RFC 5321)."""
    return answer.verdict == SILENT or answer.text.startswith("421 ")


def _one(check: Mapping[str, Any]) -> Answer:
    arguments = dict(check["arguments"])
    needs = arguments.pop("needs", ())
    try:
        answer = KINDS[check["kind"]](**arguments)
    except SmtpRefused as refused:
        answer = _reply(refused.reply)
    except ProbeError as error:
        answer = Answer(SILENT, f"no answer ({error.why})")
    down = tuple(need for need in needs if not _reachable(need))
    # Postfix calls it a wrong configuration, too, when it cannot look up who connects.
    verdict = LATER if answer.verdict == BROKEN and down else answer.verdict
    return dataclasses.replace(answer, verdict=verdict, down=down)


def described(check: Mapping[str, Any]) -> str:
    """Return a check as people say it: "smtp_rcpt postmaster@example.org port 25"."""
    told = {key: value for key, value in check["arguments"].items() if key not in _UNTOLD}
    shown = {key: value for key, value in told.items() if value not in ("", "none")}
    words = [check["kind"].replace("_", " "), shown.pop("recipient", None) or shown.pop("path", None)]
    return " ".join(filter(None, [*words, *(f"{key} {value}" for key, value in sorted(shown.items()))]))


def own_address() -> str:
    """Return the address by which this host is seen from outside, loopback where it has none; sends nothing."""
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return "127.0.0.1"


def _endpoint(port: int, address: str = "") -> Endpoint:
    # Who the certificate is for is another question; here it matters that one is served at all.
    return Endpoint(address or own_address(), port, verify=False, timeout=TIMEOUT)


def _reply(reply: Reply) -> Answer:
    text = str(reply).split("\n", 1)[0]
    if reply.ok:
        return Answer(YES, text)
    # A wrong word in a restriction list. "4.3.5 Server configuration problem" is a policy service that is down.
    if reply.enhanced == "4.3.5" and "configuration error" in text:
        return Answer(BROKEN, text)
    return Answer(LATER if 400 <= reply.code < 500 else NO, text)


def _smtp_greeting(port: int = 0, tls: Tls = "none", address: str = "", path: str = "") -> Answer:
    """Does it greet, at a port or a socket's path, and with tls "starttls" or "implicit", does TLS work?"""
    if path:
        return _reply(smtp_greeting(Endpoint(path, timeout=TIMEOUT)))
    if tls == "starttls":
        return _reply(smtp_ehlo(_endpoint(port, address), tls=tls).reply)
    return _reply(smtp_greeting(_endpoint(port, address), tls=tls))


def _smtp_rcpt(port: int, recipient: str, sender: str = "", tls: Tls = "none", address: str = "") -> Answer:
    """Would it take a message to this recipient? sender: "" is the null sender."""
    transaction = smtp_rcpt(_endpoint(port, address), sender, [recipient], tls=tls)
    return _reply(transaction.answers[recipient])


def _smtp_auth(port: int, tls: Tls = "none", offered: bool = True, address: str = "") -> Answer:
    """Is AUTH offered, or (offered: false) not offered?"""
    hello = smtp_ehlo(_endpoint(port, address), tls=tls)
    if not hello.reply.ok:
        return _reply(hello.reply)
    text = f"AUTH {' '.join(sorted(hello.auth))}" if hello.auth else "no AUTH"
    return Answer(YES if bool(hello.auth) == offered else NO, text)


def _lmtp_rcpt(recipient: str, path: str = "", port: int = 0, address: str = "", sender: str = "") -> Answer:
    """Would a message be delivered over LMTP, at a socket's path or a port?"""
    endpoint = Endpoint(path, timeout=TIMEOUT) if path else _endpoint(port, address)
    return _reply(lmtp_rcpt(endpoint, sender, [recipient]).answers[recipient])


def _lmtp_greeting(path: str = "", port: int = 0, address: str = "") -> Answer:
    """Does an LMTP server greet, at a socket's path or a port?"""
    return _reply(smtp_greeting(Endpoint(path, timeout=TIMEOUT) if path else _endpoint(port, address)))


def _imap_greeting(port: int, tls: Tls = "none", address: str = "") -> Answer:
    """Does an IMAP server greet, TLS included?"""
    found = imap_capabilities(_endpoint(port, address), tls=tls)
    return Answer(YES if found.greeting.ok else NO, str(found.greeting))


def _pop3_greeting(port: int, tls: Tls = "none", address: str = "") -> Answer:
    """Does a POP3 server greet, TLS included?"""
    return Answer(YES, " ".join(sorted(pop3_capabilities(_endpoint(port, address), tls=tls))))


def _sieve_greeting(port: int, tls: Tls = "none", address: str = "") -> Answer:
    """Does a ManageSieve server greet, TLS included?"""
    return Answer(YES, " ".join(sorted(sieve_capabilities(_endpoint(port, address), tls=tls))))


def _dovecot_user(recipient: str) -> Answer:
    """Does Dovecot know a user (doveadm-user(1))?"""
    verdicts = {0: YES, 67: NO, 75: LATER}  # EX_NOUSER, EX_TEMPFAIL of sysexits.h
    try:
        found = units.output("timeout", str(TIMEOUT), "doveadm", "user", recipient, check=False)
    except OSError as error:
        return Answer(SILENT, f"no answer ({error})")
    text = "known" if found.returncode == 0 else (found.stderr or found.stdout).strip()
    return Answer(verdicts.get(found.returncode, SILENT), text)


def _socket(path: str) -> Answer:
    """Does anybody listen at a socket? saslauthd would log a warning for whatever it is asked beyond that."""
    try:
        Endpoint(path, timeout=TIMEOUT).connect().close()
    except OSError as error:
        return Answer(SILENT, f"no answer ({error.strerror or error})")
    return Answer(YES, "somebody listens")


def _datagrams(path: str) -> Answer:
    """Does anybody take datagrams at a socket? None is sent: it would be counted."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        try:
            link.connect(path)
        except OSError as error:
            return Answer(SILENT, f"no answer ({error.strerror or error})")
    return Answer(YES, "somebody listens")


def _listens(port: int, address: str = "") -> Answer:
    """Does anybody listen at a port?"""
    try:
        _endpoint(port, address).connect().close()
    except OSError as error:
        return Answer(SILENT, f"no answer ({error.strerror or error})")
    return Answer(YES, "somebody listens")


def _tls(port: int, address: str = "") -> Answer:
    """Does TLS work at a port, whatever is spoken inside?"""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # who the certificate is for is another question
    try:
        with _endpoint(port, address).connect() as link, context.wrap_socket(link) as secure:
            return Answer(YES, str(secure.version()))
    except OSError as error:
        return Answer(SILENT, f"no answer ({error.strerror or error})")


def _https(port: int, name: str, path: str, text: str) -> Answer:
    """Does an HTTPS server answer with this text? name: of the server as clients know it."""
    request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # who the certificate is for is another question
    try:
        with _endpoint(port).connect() as link, context.wrap_socket(link, server_hostname=name) as secure:
            secure.sendall(request.encode())
            with secure.makefile("rb") as stream:
                head, _empty, body = stream.read(1 << 16).decode(errors="replace").partition("\r\n\r\n")
    except OSError as error:
        return Answer(SILENT, f"no answer ({error.strerror or error})")
    status = head.partition("\r\n")[0]
    if status.startswith("HTTP/1.1 200 "):
        return Answer(YES, status) if body == text else Answer(NO, "another text")
    return Answer(NO, status) if status.startswith("HTTP/") else Answer(SILENT, f"no answer ({status!r})")


def _clamd(path: str) -> Answer:
    """Does clamd answer (clamd(8), PING)? It does once it has read its signatures."""
    try:
        with Endpoint(path, timeout=TIMEOUT).connect() as link:
            link.sendall(b"zPING\0")
            said = link.recv(64)
    except OSError as error:
        return Answer(SILENT, f"no answer ({error.strerror or error})")
    return Answer(YES, "PONG") if said == b"PONG\0" else Answer(SILENT, f"no answer ({said!r})")


def _srs(forward: int, reverse: int) -> Answer:
    """Does PostSRSd rewrite an address, and find it again? forward, reverse: its ports (tcp_table(5))."""
    address = "somebody@outside.example"
    try:
        rewritten = _looked_up(forward, address)
        found = _looked_up(reverse, rewritten)
    except OSError as error:
        return Answer(SILENT, f"no answer ({error.strerror or error})")
    right = rewritten != address and found == address
    return Answer(YES, "an address and back") if right else Answer(NO, f"{address} became {found or rewritten!r}")


def _looked_up(port: int, key: str) -> str:
    """Return what a table says of a key, nothing where it does not find it."""
    with Endpoint("127.0.0.1", port, timeout=TIMEOUT).connect() as link:
        link.sendall(f"get {key}\n".encode())
        said = b""
        while not said.endswith(b"\n") and (more := link.recv(4096)):
            said += more
    code, _space, value = said.decode("utf-8", "replace").strip().partition(" ")
    return value if code == "200" else ""


def _socketmap(path: str, name: str, key: str) -> Answer:
    """Does a table answer (socketmap_table(5))? name: of the table; that it lacks the key is an answer too."""
    asked = f"{name} {key}".encode()
    try:
        with Endpoint(path, timeout=TIMEOUT).connect() as link, link.makefile("rb") as stream:
            link.sendall(b"%d:%s," % (len(asked), asked))
            length = b""
            while (byte := stream.read(1)).isdigit() and len(length) < 5:
                length += byte
            text = stream.read(int(length or b"0")).decode(errors="replace").strip()
    except OSError as error:
        return Answer(SILENT, f"no answer ({error.strerror or error})")
    verdicts = {"OK": YES, "NOTFOUND": YES, "TEMP": LATER, "TIMEOUT": LATER, "PERM": NO}
    verdict = verdicts.get(text.partition(" ")[0], SILENT)
    return Answer(verdict, text if verdict != SILENT else f"no answer ({text!r})")


def _milter_signs(path: str, sender: str, name: str) -> Answer:
    """Does a milter sign a message of the site's (DKIM)? sender: an address; name: what the site's mail goes by."""
    header = [("From", f"<{sender}>"), ("Subject", "Health check")]
    said = milter_message(Endpoint(path, timeout=TIMEOUT), sender, sender, header, {"daemon_name": name, "j": name})
    signatures = [field for field in said.fields if field.lower() == "dkim-signature"]
    if said.verdict == "accept":
        return Answer(YES, f"{len(signatures)} signatures") if signatures else Answer(NO, "no signature")
    return Answer(NO if said.verdict == "reject" else LATER, said.text or said.verdict)


def _milter_refuses(path: str, sender: str, from_: str, name: str) -> Answer:
    """Does a milter refuse a user's message in which From is somebody else's? sender: of the envelope; name: as above.

    It is told of a login as well, which the envelope sender does not belong to.
    """
    header = [("From", f"<{from_}>"), ("Subject", "Health check")]
    macros = {"daemon_name": name, "j": name, "auth_authen": sender}
    said = milter_message(Endpoint(path, timeout=TIMEOUT), sender, sender, header, macros)
    if said.verdict == "reject" or said.text.startswith("5"):
        return Answer(YES, said.text)
    return Answer(NO if said.verdict == "accept" else LATER, said.text or f"{said.verdict} of a strange From")


def _dns_validated(ways_out: str, address: str = "", process: str = "", path: str = "") -> Answer:
    """Does a resolver validate what it answers (DNSSEC)? ways_out: what an administrator can do if it does not.

    address: of the resolver; or process and path: a file with the number of a process, and the resolv.conf of this one.
    """
    resolvers = [address] if address else _resolvers(process, path)
    if not resolvers:
        return Answer(LATER, f"no resolver in {path} of a running process")
    try:
        said = dns_ask(Endpoint(resolvers[0], 53, timeout=TIMEOUT), ".", SOA)
        failed = "" if said.code == NOERROR else str(said)
    except ProbeError as error:
        failed = f"no answer ({error.why})"
    if failed:  # perhaps it cannot reach other servers just now
        return Answer(SILENT if address else LATER, f"{failed} from {resolvers[0]}: {ways_out}")
    if not (said.validated and said.records):
        return Answer(BROKEN, f"an answer of {resolvers[0]} that nobody has validated by DNSSEC: {ways_out}")
    return Answer(YES, "validated")


def _dns_knows(name: str, process: str, path: str, ways_out: str) -> Answer:
    """Does the resolver that a process asks know the address of a host? Arguments as of _dns_validated()."""
    for resolver in _resolvers(process, path)[:1]:
        try:
            said = [dns_ask(Endpoint(resolver, 53, timeout=TIMEOUT), name, kind) for kind in (A, AAAA)]
        except ProbeError as error:  # perhaps the servers of that zone are slow just now
            return Answer(LATER, f"no answer from {resolver} about {name} ({error.why})")
        if any(one.code == NOERROR and one.records for one in said):
            return Answer(YES, "known")
        if all(one.code in (NOERROR, NXDOMAIN) for one in said):
            return Answer(BROKEN, f"{resolver} knows no address of {name}: {ways_out}")
        return Answer(LATER, f"{said[0]} from {resolver} about {name}")
    return Answer(LATER, f"no resolver in {path} of a running process")


def _resolvers(process: str, path: str) -> list[str]:
    """Return the resolvers of a resolv.conf as a process sees it, which may have mounts of its own."""
    number = files.text(process).strip()
    rows = (line.split() for line in files.resolv_conf(f"/proc/{number}/root{path}")) if number.isdigit() else ()
    return [row[1] for row in rows if row[0] == "nameserver" and len(row) > 1]


def _milter_judges(path: str, sender: str, recipient: str, client: str, received: str, name: str) -> Answer:
    """Does a milter judge a stranger's message (Authentication-Results)? It does, whatever the DNS answers.

    client: from whose address it comes; received: the field of an earlier hop, or nothing.
    """
    header = [("Received", received)] if received else []
    header += [("From", f"<{sender}>"), ("Subject", "Health check")]
    macros = {"daemon_name": name, "j": name}
    # A DNS that is silent costs it some seconds.
    said = milter_message(Endpoint(path, timeout=2 * TIMEOUT), sender, recipient, header, macros, client)
    if said.verdict == "accept":
        found = "authentication-results" in map(str.lower, said.fields)
        return Answer(YES, "judged") if found else Answer(NO, "no Authentication-Results")
    return Answer(NO if said.verdict == "reject" else LATER, said.text or said.verdict)


def _reachable(need: str) -> bool:
    host, _colon, port = (need, "", "0") if need.startswith("/") else need.rpartition(":")
    try:
        Endpoint(host.strip("[]"), int(port), timeout=2.0).connect().close()
    except OSError:
        return False
    return True


KINDS: dict[str, Callable[..., Answer]] = {
    "smtp_greeting": _smtp_greeting,
    "smtp_rcpt": _smtp_rcpt,
    "smtp_auth": _smtp_auth,
    "lmtp_greeting": _lmtp_greeting,
    "lmtp_rcpt": _lmtp_rcpt,
    "imap_greeting": _imap_greeting,
    "pop3_greeting": _pop3_greeting,
    "sieve_greeting": _sieve_greeting,
    "dovecot_user": _dovecot_user,
    "socket": _socket,
    "datagrams": _datagrams,
    "listens": _listens,
    "tls": _tls,
    "https": _https,
    "clamd": _clamd,
    "socketmap": _socketmap,
    "milter_signs": _milter_signs,
    "milter_refuses": _milter_refuses,
    "srs": _srs,
    "dns_validated": _dns_validated,
    "dns_knows": _dns_knows,
    "milter_judges": _milter_judges,
}
