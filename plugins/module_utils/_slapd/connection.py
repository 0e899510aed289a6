# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is asked of slapd, and sent to it, over one LDAP connection."""

from __future__ import annotations

import hashlib
import importlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import config, entries
from ansible_collections.postamt.mail.plugins.module_utils._slapd.paths import SOCKET

CONFIG_FILTER = (
    "(|(objectClass=olcGlobal)(objectClass=olcModuleList)(objectClass=olcDatabaseConfig)(objectClass=olcOverlayConfig)"
    "(cn=*postfixbook))"
)
ENTRY_ATTRIBUTES = (
    "objectClass", "o", "ou", "dc", "cn", "sn", "uid", "mail", "mailAlias", "mailForwardingAddress", "mailEnabled",
    "mailQuota", "mailHomeDirectory", "mailUidNumber", "mailGidNumber", "mailStorageDirectory", "userPassword",
    "authzTo", "pwdAttribute", "pwdMinLength", "pwdMaxLength", "pwdCheckQuality", "pwdSafeModify",
)  # fmt: skip


class Connection:
    """An LDAP connection through a socket, as root (SASL EXTERNAL) or by a login: DN and password."""

    def __init__(self, path: str = SOCKET, wait: float = 5.0, login: tuple[str, str] | None = None) -> None:
        """Connect; raises Failed. wait: seconds that slapd may take to answer at all."""
        self.path = path
        self.wait = wait
        self.login = login
        self.open()

    def open(self) -> None:
        """Connect, or connect anew to a slapd that was started again; raises Failed."""
        try:
            ldap = importlib.import_module("ldap")
        except ImportError:
            raise Failed("python3-ldap is there, but not for this Python: use Debian's own, /usr/bin/python3") from None
        self.ldap: Any = ldap
        self.link: Any = ldap.initialize(f"ldapi://{quote(self.path, safe='')}")
        self.link.set_option(ldap.OPT_NETWORK_TIMEOUT, 10.0)
        if self.login:  # at another host
            self.link.set_option(ldap.OPT_TIMEOUT, 60.0)
        end = time.monotonic() + self.wait
        while True:
            try:
                if self.login:
                    self.link.simple_bind_s(*self.login)
                else:
                    self.link.sasl_non_interactive_bind_s("EXTERNAL")
                return
            except ldap.SERVER_DOWN:
                if time.monotonic() > end:
                    raise Failed(f"slapd does not answer on {self.path}") from None
                time.sleep(0.05)
            except ldap.LDAPError as error:
                who = self.login[0] if self.login else "root"
                raise Failed(f"slapd does not let {who} in on {self.path}: {explained(error)}") from None

    def search(self, base: str, scope: str, query: str = "(objectClass=*)", names: Iterable[str] = ()) -> config.Tree:
        """Return entries by DN, values as text; nothing where the base does not exist."""
        scopes = {"base": self.ldap.SCOPE_BASE, "subtree": self.ldap.SCOPE_SUBTREE}
        try:
            found = self.link.search_s(base, scopes[scope], query, list(names) or None)
        except self.ldap.NO_SUCH_OBJECT:
            return {}
        except self.ldap.LDAPError as error:
            raise Failed(f"slapd does not answer a search below {base}: {explained(error)}") from None
        return {
            dn: {name: [value.decode("utf-8", "surrogateescape") for value in values] for name, values in have.items()}
            for dn, have in found
            if dn is not None
        }

    def digest(self, base: str) -> str:
        """Return what tells all entries below a base from what they were.

        contextCSN may stay the same while entries differ, and entryCSN where somebody has edited them offline.
        """
        names = ["entryCSN", *ENTRY_ATTRIBUTES]
        try:
            found = self.link.search_s(base, self.ldap.SCOPE_SUBTREE, "(objectClass=*)", names)
        except self.ldap.NO_SUCH_OBJECT:  # a replica that has nothing yet
            found = []
        except self.ldap.LDAPError as error:
            raise Failed(f"slapd does not answer a search below {base}: {explained(error)}") from None
        # all at once, since there may be many; attributes in another order are looked at in the long way
        there = sorted((dn, entry) for dn, entry in found if dn is not None)
        return hashlib.sha256(repr(there).encode()).hexdigest()

    def add(self, dn: str, attributes: config.Attributes) -> int:
        return int(self.link.add_ext(dn, [(name, _bytes(values)) for name, values in attributes.items()]))

    def modify(self, dn: str, modifications: Iterable[config.Modification]) -> int:
        verbs = {"add": self.ldap.MOD_ADD, "delete": self.ldap.MOD_DELETE, "replace": self.ldap.MOD_REPLACE}
        sent = [(verbs[verb], name, _bytes(values) or None) for verb, name, values in modifications]
        return int(self.link.modify_ext(dn, sent))

    def delete(self, dn: str) -> int:
        return int(self.link.delete_ext(dn))

    def password(self, dn: str, clear: str) -> int:
        """Have slapd hash and store a password (RFC 3062)."""
        return int(self.link.passwd(dn, None, clear))

    def entry_request(self, request: entries.EntryRequest) -> tuple[str, Callable[[], int]]:
        """Return what sends a change of an entry, and what it is called if slapd refuses it."""
        what = f"to {request.verb} {request.kind} {request.name}"
        if request.after is None:
            return what, lambda: self.delete(request.dn)
        if request.before is None:
            return what, lambda: self.add(request.dn, request.after or {})
        new = request.modifications()
        return what, lambda: self.modify(request.dn, [("replace", name, new[name]) for name in new])

    def all_of(self, requests: Iterable[tuple[str, Callable[[], int]]], window: int = 1) -> None:
        """Send requests, several at a time, and wait for all; raises Failed naming the one that was refused."""
        under_way: deque[tuple[str, int]] = deque()

        def finish() -> None:
            what, number = under_way.popleft()
            try:
                self.link.result3(number)
            except self.ldap.LDAPError as error:
                raise Failed(f"slapd refuses {what}: {explained(error)}") from None

        for what, send in requests:
            if len(under_way) >= window:
                finish()
            under_way.append((what, send()))
        while under_way:
            finish()


def _bytes(values: Iterable[str]) -> list[bytes]:
    return [value.encode("utf-8", "surrogateescape") for value in values]


def explained(error: Exception) -> str:
    """Return what an LDAP error says, on one line."""
    said = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    words = [said.get("desc", type(error).__name__), said.get("info", "")]
    return ": ".join(" ".join(word.split()) for word in words if word)


def send(connection: Connection, request: config.ConfigRequest) -> None:
    """Send one request about cn=config; raises Failed."""
    add = request.add
    if request.gone is not None:
        connection.all_of([(f"to remove {request.what}", lambda: connection.delete(request.dn))])
    elif add is not None:
        connection.all_of([(request.what, lambda: connection.add(request.dn, add))])
    else:
        connection.all_of([(request.about, lambda: connection.modify(request.dn, request.modifications))])


def stored_digest(values: Iterable[str]) -> str:
    """Return what tells whether the stored (hashed) password is still the one that was set."""
    return hashlib.sha256("\0".join(sorted(values)).encode("utf-8", "surrogateescape")).hexdigest()[:32]
