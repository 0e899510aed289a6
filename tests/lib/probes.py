"""What only tests ask a server: to store, move and hide messages, to take scripts and passwords."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint, ProbeError, Tls, quoted
from ansible_collections.postamt.mail.plugins.module_utils._probes.imap import ImapAnswer
from ansible_collections.postamt.mail.plugins.module_utils._probes.managesieve import SieveAnswer
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import HELO, Login, Reply
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import session as smtp_session
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_count, mailbox
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import session as imap_session
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.ldap import Bind, LdapAnswer, bound, result
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.ldap import session as ldap_session
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.managesieve import session as sieve_session
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token

ENDINGS = (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r.\n", b"\n.\r")


@dataclass(frozen=True)
class Smuggling:
    """What became of a message with a second one hidden in it (CVE-2023-51764).

    accepted   how many messages the server took: 2 means that it can be smuggled to
    replies    every answer after the message, to see why
    token      in the subject of the outer message
    smuggled   in the subject of the hidden one
    """

    ending: bytes
    accepted: int
    replies: tuple[Reply, ...]
    token: str
    smuggled: str


def imap_append(
    e: Endpoint, user: str, password: str, content: bytes, *, folder: str = "INBOX", tls: Tls = "implicit"
) -> ImapAnswer:
    """May the user store this message? OK with APPENDUID (RFC 4315), or NO with OVERQUOTA or TRYCREATE."""
    with imap_session(e, user, password, tls) as imap:
        return imap.command(f"APPEND {mailbox(folder)} {{{len(content)}}}", content)[0]


def imap_fill(e: Endpoint, user: str, password: str) -> None:
    """Put mail into a mailbox until it takes not even a message of 15,000 bytes; it may be full already."""
    for lines in (200_000, 50_000, 5_000):  # three bytes each
        while imap_append(e, user, password, message("stranger@outside.example", user, "fill", "y\n" * lines)).ok:
            assert imap_count(e, user, password) < 100


def imap_move(
    e: Endpoint,
    user: str,
    password: str,
    token: str,
    *,
    source: str = "INBOX",
    target: str,
    tls: Tls = "implicit",
) -> ImapAnswer:
    """Move the messages with this token in the subject (RFC 6851); raises ProbeError where there are none."""
    with imap_session(e, user, password, tls) as imap:
        imap.grant(f"SELECT {mailbox(source)}")
        found = imap.search(token)
        if not found:
            raise imap.broken("no such message")
        return imap.command(f"UID MOVE {','.join(map(str, found))} {mailbox(target)}")[0]


def sieve_put(
    e: Endpoint,
    user: str,
    password: str,
    name: str,
    script: str,
    *,
    activate: bool = True,
    tls: Tls = "starttls",
) -> SieveAnswer:
    """May the user store this script and let it filter? NO with the compiler's words for a wrong one."""
    with sieve_session(e, user, password, tls) as sieve:
        content = script.encode()
        answer = sieve.command(f"PUTSCRIPT {quoted(name)} {{{len(content)}+}}\r\n{script}", f"PUTSCRIPT {name}")[0]
        return sieve.command(f"SETACTIVE {quoted(name)}")[0] if answer.ok and activate else answer


def ldap_passwd(
    e: Endpoint, bind: Bind, dn: str, new: str, *, old: str | None = None, tls: Tls = "starttls"
) -> LdapAnswer:
    """May who binds (DN and password) give this entry a new password (RFC 3062)? 0, or 50 insufficientAccessRights."""
    with ldap_session(e, tls, f"password of {dn}", bind) as connection:
        bound(e, connection)
        connection.extend.standard.modify_password(dn, old, new)
        return result(connection)


def smtp_smuggle(
    e: Endpoint,
    sender: str,
    recipient: str,
    ending: bytes,
    *,
    tls: Tls = "none",
    login: Login | None = None,
    helo: str = HELO,
) -> Smuggling:
    """Does it take `ending` (see ENDINGS) for the end of a message, so that a second one can be hidden behind it?

    Sends one message that really ends at its end. Raises SmtpRefused where not even that may be sent.
    """
    token = new_token()
    hidden = f"{token}-smuggled"
    with smtp_session(e, tls, helo, login) as smtp:
        for line, code in ((f"MAIL FROM:<{sender}>", 250), (f"RCPT TO:<{recipient}>", 250), ("DATA", 354)):
            smtp.need(code, smtp.command(line))
        outer = message(sender, recipient, token, "outer").rstrip(b"\r\n")
        inner = message(sender, recipient, hidden, "smuggled")
        commands = f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode()
        smtp.send(outer + ending + commands + inner + b".\r\n", f"end of data {ending!r}")
        replies = [Reply(354, ""), smtp.reply()]
        try:
            smtp.send(b"QUIT\r\n", smtp.asked)
            while replies[-1].code not in (221, 421):
                replies.append(smtp.reply())
        except ProbeError:
            pass  # a server that noticed may hang up
    accepted = sum(before.code == 354 and after.ok for before, after in pairwise(replies))
    return Smuggling(ending, accepted, tuple(replies[1:]), token, hidden)
