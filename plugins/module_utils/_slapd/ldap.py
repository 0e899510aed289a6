# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply the plan of slapd: cn=config and the entries, looked at and changed over one ldapi connection.

A change of cn=config is tried first on a second slapd, which has a copy of the configuration and answers on a socket in
a private folder only: the real thing, certificates and access rules included. (slapmodify(8) on a copy takes any
access rule and any cipher list, and cannot add a database.)
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import hashlib
import importlib
import os
import re
import shutil
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import (
    files,
    folders,
    host,
    journal,
    manifest,
    needs,
    observe,
    take_up,
    transaction,
    unit_changes,
    units,
)
from ansible_collections.postamt.mail.plugins.module_utils._engine.adopt import Comparison
from ansible_collections.postamt.mail.plugins.module_utils._engine.manifest import Records
from ansible_collections.postamt.mail.plugins.module_utils._engine.needs import Missing
from ansible_collections.postamt.mail.plugins.module_utils._engine.observe import Observation
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import HOST, STATE
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report
from ansible_collections.postamt.mail.plugins.module_utils._engine.target import Target
from ansible_collections.postamt.mail.plugins.module_utils._engine.unit_changes import UnitChanges
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import config, entries

SOCKET = "/run/slapd/ldapi"
PID_FILE = "/run/slapd/slapd.pid"
CONFIG = "/etc/ldap/slapd.d"
DEFAULTS = "/etc/default/slapd"
REHEARSAL = "/run/postamt-ldap"  # root's, with folders of openldap in it, so not below the one that is root's alone
REHEARSAL_UNIT = "postamt-ldap-rehearsal.service"
USER = "openldap"
RECORD = os.path.join(STATE, "ldap", "applied.json")  # what the last run applied

_CONFIG_FILTER = (
    "(|(objectClass=olcGlobal)(objectClass=olcModuleList)(objectClass=olcDatabaseConfig)(objectClass=olcOverlayConfig)"
    "(cn=*postfixbook))"
)
ENTRY_ATTRIBUTES = (
    "objectClass", "o", "ou", "dc", "cn", "sn", "uid", "mail", "mailAlias", "mailForwardingAddress", "mailEnabled",
    "mailQuota", "mailHomeDirectory", "mailUidNumber", "mailGidNumber", "mailStorageDirectory", "userPassword",
    "authzTo", "pwdAttribute", "pwdMinLength", "pwdMaxLength", "pwdCheckQuality", "pwdSafeModify",
)  # fmt: skip
FOLLOWS = ("olcSyncrepl", "olcUpdateRef")  # what makes a database a replica
# What slapd derives by itself, and does not take
_DERIVED = ("entryDN", "subschemaSubentry", "hasSubordinates")
_PATIENCE = 30  # seconds for a new replica to have all entries; 20,000 take about half as long
_CLOCKS = 2  # seconds by which clocks may differ
_WINDOW = 4  # requests under way at once: enough to keep slapd busy, and it logs when a connection has many
PAST = {
    "add": "added", "change": "changed", "remove": "removed", "disable": "disabled", "enable": "enabled",
    "rename": "renamed", "delete": "deleted",
}  # fmt: skip


class Connection:
    """An LDAP connection through a socket, as root (SASL EXTERNAL) or by a login: DN and password."""

    def __init__(self, path: str = SOCKET, wait: float = 5.0, login: tuple[str, str] | None = None) -> None:
        try:
            ldap = importlib.import_module("ldap")
        except ImportError:
            raise Failed("python3-ldap is there, but not for this Python: use Debian's own, /usr/bin/python3") from None
        self.ldap: Any = ldap
        self.link: Any = ldap.initialize(f"ldapi://{quote(path, safe='')}")
        self.link.set_option(ldap.OPT_NETWORK_TIMEOUT, 10.0)
        if login:  # at another host
            self.link.set_option(ldap.OPT_TIMEOUT, 60.0)
        end = time.monotonic() + wait
        while True:
            try:
                if login:
                    self.link.simple_bind_s(*login)
                else:
                    self.link.sasl_non_interactive_bind_s("EXTERNAL")
                return
            except ldap.SERVER_DOWN:
                if time.monotonic() > end:
                    raise Failed(f"slapd does not answer on {path}") from None
                time.sleep(0.05)
            except ldap.LDAPError as error:
                who = login[0] if login else "root"
                raise Failed(f"slapd does not let {who} in on {path}: {explained(error)}") from None

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


class Files(Connection):
    """What slapd would say if it ran, read from its files by slapcat(8); nothing where it is not installed."""

    def __init__(self) -> None:
        """Connect to nothing."""

    def search(self, base: str, scope: str, query: str = "", names: Iterable[str] = ()) -> config.Tree:
        if not shutil.which("slapcat"):
            return {}
        place = ("-n", "0") if base == config.GLOBAL else ("-b", base)
        found: config.Tree = {}
        for block in _slapcat(*place).split("\n\n"):
            pairs = [line.partition(":") for line in block.splitlines() if line and not line.startswith("#")]
            entry: config.Attributes = {}
            for name, _colon, value in pairs:
                text = (
                    base64.b64decode(value[1:]).decode("utf-8", "surrogateescape")
                    if value.startswith(":")
                    else value[1:]
                )
                entry.setdefault(name, []).append(text)
            if "dn" in entry:
                found[entry["dn"][0]] = entry
        return found


def _bytes(values: Iterable[str]) -> list[bytes]:
    return [value.encode("utf-8", "surrogateescape") for value in values]


def explained(error: Exception) -> str:
    """Return what an LDAP error says, on one line."""
    said = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    words = [said.get("desc", type(error).__name__), said.get("info", "")]
    return ": ".join(" ".join(word.split()) for word in words if word)


def stored_digest(values: Iterable[str]) -> str:
    """Return what tells whether the stored (hashed) password is still the one that was set."""
    return hashlib.sha256("\0".join(sorted(values)).encode("utf-8", "surrogateescape")).hexdigest()[:32]


class Transaction:
    """One run of slapd's plan."""

    def __init__(self, module: AnsibleModule, request: dict[str, Any] | None = None) -> None:
        self.module = module
        self.request: dict[str, Any] = request or module.params["request"]
        self.plan: dict[str, Any] = self.request["plan"]
        self.program = Program(self.plan)
        self.report = Report(module.check_mode)
        self.home = HOST.of(self.program.name)
        self.missing: Missing = {}
        self.made: list[str] = []  # folders
        self.manifest: dict[str, Any] = {}
        self.targets: list[Target] = []
        self.changes: list[Target] = []
        self.watched: dict[str, str] = {}
        self.units = UnitChanges()
        self.record_file = RECORD
        self.needed: list[str] = []
        self.notes: list[str] = []
        self.shared: list[str] = []  # units that run for somebody else too

    def answered(self, report: Report) -> dict[str, Any]:
        """Go the whole way; returns what the module answers."""
        self.report = report
        self.apply()
        return {"notes": self.notes, "missing": self.missing, "passwords_needed": self.needed}

    def apply(self) -> None:
        self.missing = self.look_for_missing()
        if self.missing and not self.report.dry:
            return  # the action installs it and calls again
        self.record = files.load(self.record_file)
        self.under_way = bool(self.record.pop("under_way", False))
        self.manifest = files.load(self.home.manifest)
        self.shared = self.manifest.get("shared", [])
        records = Records(self.manifest)
        wrong = [folder for folder in self.plan["directories"] if not folders.right(folder)]
        self.targets = observe.targets(self.program, records) if self.program.enabled else []
        self.units = unit_changes.look(self.program, Observation(records))
        if self.missing.get("packages"):
            self.units = dataclasses.replace(self.units, enables=())  # its package does that
        if not self.program.enabled:
            self.leave()
            self.keep_claim()
            return
        if self.under_way and "passwords" not in self.request:  # those come in this run's own second call
            self.report.did("finished", "finish", "a change that an earlier run left half done")
        self.watched = {path: files.digest(path) for path in self.plan["watch"]}
        if self.manifest.get("watch") != self.watched and "absent" in self.watched.values() and not self.report.dry:
            absent = [path for path, digest in self.watched.items() if digest == "absent"]
            raise Failed(f"{', '.join(absent)} is not there: run the role certificates on this host first")
        self.refuse_taken_ports()
        folders.make(wrong, self.report, self.made)
        served = bool(self.units.running)
        self.run_slapd()
        absent = self.missing.get("packages", [])
        if self.report.dry and (not served or "python3-ldap" in absent):
            self.connection: Connection = Files()
            if absent:
                self.report.note(f"the new configuration was not checked: not installed are {', '.join(absent)}")
        else:
            self.connection = Connection()
        kept = dict(self.record)
        if not self.record and not self.report.dry:  # cn=config as it was, for whoever wants it back
            if self.foreign_suffixes(Files().search(config.GLOBAL, "subtree")):
                self.shared = ["slapd.service"]
            journal.keep_original(self.home, "/cn=config.ldif", files.Seen(_slapcat("-n", "0").encode(), 0o600, 0, 0))
        self.take_over()
        self.configure(self.plan["config"])
        self.fill()
        if (self.record != kept or self.under_way) and not self.report.dry:
            self.under_way = bool(self.needed)
            self.keep_record()
        self.keep_claim()

    def keep_record(self) -> None:
        files.private_folder(self.home.folder)
        files.save(self.record_file, {**self.record, **({"under_way": True} if self.under_way else {})})

    def begin(self) -> None:
        """Mark that a change is under way, so that the next run says what it finishes."""
        if not self.report.dry and not self.under_way:
            self.under_way = True
            self.keep_record()

    def keep_claim(self) -> None:
        if not self.report.dry and self.manifest != self.claim():
            manifest.keep(self.home, self.claim())

    def files_of_ours(self) -> list[str]:
        return sorted(
            [DEFAULTS, *(t.path for t in self.targets)] if self.program.enabled else self.manifest.get("files", ())
        )

    def compare(self) -> Comparison:
        """Say what changes for databases of somebody else: ours comes beside them, but they share cn=config."""
        if not self.program.enabled or files.load(self.record_file) or not shutil.which("slapcat"):
            return Comparison()
        tree = Files().search(config.GLOBAL, "subtree")
        shared = [c for c in config.changes(self.plan["config"], tree, {}) if c.dn in (config.GLOBAL, config.FRONTEND)]
        used = self.foreign_suffixes(tree)
        if not used and not any(request.before for request in shared):
            return Comparison()
        listens, listen = _services(_text_of(DEFAULTS)), _services(f'SLAPD_SERVICES="{self.plan["listen"]}"')
        lines = [f"-{DEFAULTS}: {listens}\n", f"+{DEFAULTS}: {listen}\n"] if listens != listen else []
        lines += [f"-{line}\n" for request in shared for line in request.before]
        lines += [f"+{line}\n" for request in shared for line in request.after]
        served = f" (which serves {', '.join(used)})" if used else ""
        return Comparison([f"cn=config{served}"], "".join(["--- cn=config\n+++ wanted\n", *lines]))

    def foreign_suffixes(self, tree: config.Tree) -> list[str]:
        """Return the suffixes of databases that serve somebody else's entries: one that does not run serves nobody."""
        suffixes = [suffix for entry in tree.values() for suffix in entry.get("olcSuffix", [])]
        running = units.states(["slapd.service"])["slapd.service"].active
        return [suffix for suffix in suffixes if running and suffix != self.plan["config"]["suffix"] and _used(suffix)]

    def claim(self) -> dict[str, Any]:
        known = {target.path: target.digest for target in self.targets}
        digests = {path: known.get(path) or files.digest(path) for path in self.files_of_ours()}
        made = {*self.manifest.get("folders", ()), *self.made}
        return {**manifest.claim(self.plan, digests, made, self.units, self.watched), "shared": self.shared}

    def look_for_missing(self) -> dict[str, list[Any]]:
        """Return also which group slapd's user has to join."""
        found = needs.missing(self.plan, self.report)
        group = self.plan.get("key_group", "")
        if group and not needs.in_group(USER, group):
            found["groups"] = [group]
            if self.report.dry:
                self.report.did("added", "add", f"user {USER} to group {group}")
        return found

    def show(self, header: str, before: list[str], after: list[str]) -> None:
        """Add an entry to the diff."""
        old, new = ("".join(f"{line}\n" for line in lines) for lines in (before, after))
        self.report.diffs.append({"before_header": header, "after_header": header, "before": old, "after": new})

    def leave(self) -> None:
        """Stop a slapd that is this collection's and that the site does not want here; its data stays."""
        if not self.record:
            return  # a directory of somebody else
        take_up.activate(self.program, self.units, [target.path for target in self.changes], (), self.report)

    def renewed(self) -> list[str]:
        """Return the certificates that slapd has not read yet."""
        return observe.changed_certificates(self.plan, Records(self.manifest), self.watched, self.report.dry)

    # --- the process

    def refuse_taken_ports(self) -> None:
        """Stop where somebody has a port: slapd starts without it, and who asks there would ask somebody else."""
        listen = self.plan["listen"]
        if self.units.starts or _services(_text_of(DEFAULTS)) != _services(f'SLAPD_SERVICES="{listen}"'):
            taken = units.taken(places(listen), ("slapd.service",))
            if taken:
                raise Failed(f"{'; '.join(taken)}; nothing was changed")

    def run_slapd(self) -> None:
        """Have slapd listen as the plan says and run in the group that may read its key."""
        listen = self.plan["listen"]
        seen, before = files.see(DEFAULTS), _text_of(DEFAULTS)
        after, count = re.subn(r"(?m)^SLAPD_SERVICES=.*$", lambda _: f'SLAPD_SERVICES="{listen}"', before)
        after = after if count else f'{before}SLAPD_SERVICES="{listen}"\n'
        if before != after:
            self.report.diffs.append(
                {"before_header": DEFAULTS, "after_header": DEFAULTS, "before": before, "after": after}
            )
            if self.report.did("wrote", "write", f"{DEFAULTS} (listens on {listen})"):
                self.begin()
                if seen and DEFAULTS not in self.manifest.get("files", ()):
                    journal.keep_original(self.home, DEFAULTS, seen)
                mode, uid, gid = (seen.mode, seen.uid, seen.gid) if seen else (0o644, 0, 0)
                files.replace(DEFAULTS, after.encode(), mode, uid, gid)
        self.restarted = False
        new_unit = self.write_drop_ins()
        if self.units.running and (why := self.outdated(listen) or new_unit):
            if self.report.did("restarted", "restart", f"slapd ({why})"):
                self.begin()
                self.restart()
                if self.outdated(listen):  # Debian 12's init script says it did
                    raise Failed("slapd was restarted, but the old process goes on: stop it by hand")
            self.restarted = True
        self.restarted |= bool(self.units.starts)
        if self.units.starts or self.units.enables:
            self.begin()
        take_up.activate(self.program, self.units, [target.path for target in self.changes], (), self.report)

    def write_drop_ins(self) -> str:
        """Write the drop-ins of slapd's unit; returns why a running slapd has to be restarted for them, or nothing."""
        self.changes = [target for target in self.targets if not target.right]
        for target in self.changes:
            self.report.diffs.append(target.difference())
            if self.report.did("wrote", "write", target.path):
                self.begin()
                self.made += files.make_folder(os.path.dirname(target.path))
                files.replace(target.path, target.content, target.mode, 0, 0)
        take_up.read_unit_files([target.path for target in self.changes], self.units.verb, self.report)
        # What the manifest says was written before slapd was restarted last.
        known = self.manifest.get("files", {})
        late = [t for t in self.targets if known.get(t.path) != t.digest]
        return "its unit has changed" if late else ""

    def restart(self) -> None:
        """Restart slapd; where it does not start with a new drop-in, the old one comes back."""
        try:
            units.act("restart", "slapd.service")
        except Failed as error:
            if not self.changes:
                raise
            for target in self.changes:
                if target.seen:
                    files.replace(target.path, target.seen.content, target.seen.mode, target.seen.uid, target.seen.gid)
                else:
                    files.remove(target.path)
            take_up.read_unit_files([target.path for target in self.changes], self.units.verb, self.report)
            units.act("restart", "slapd.service")
            raise Failed(f"{error}; its old unit is back, and slapd serves with it") from None
        if self.manifest:  # a run that fails later restarts it no more
            self.manifest = {**self.manifest, "files": {path: files.digest(path) for path in self.files_of_ours()}}
            files.save(self.home.manifest, self.manifest)

    def outdated(self, listen: str) -> str:
        """Return why the running process has to be restarted, empty where it has not."""
        try:
            pid = int(files.text(PID_FILE))
            binary = files.readlink(f"/proc/{pid}/exe")
        except ValueError:
            return "its process is not to be found"
        if binary.endswith(" (deleted)"):  # proc(5): what it would load from now on is of another package
            return "its package came while it ran"
        words = files.text(f"/proc/{pid}/cmdline").split("\0")
        groups = re.search(r"(?m)^Groups:[ \t]*(.*)$", files.text(f"/proc/{pid}/status"))
        if "-h" not in words or words[words.index("-h") + 1] != listen:
            return "it listens elsewhere"
        numbers = {int(number) for number in (groups[1] if groups else "").split()}
        return "" if files.gid_of(self.plan["key_group"]) in numbers else "it has a new group"

    # --- cn=config

    def configure(self, desired: dict[str, Any]) -> None:
        """Make cn=config as desired, have renewed certificates read, and ask."""
        tree = self.connection.search(config.GLOBAL, "subtree", _CONFIG_FILTER)
        recorded = self.record.get("config", {})
        try:
            found = config.changes(desired, tree, recorded)
        except config.ConfigError as error:
            raise Failed(str(error)) from None
        renewed = bool(self.renewed()) and not self.restarted
        told = any(request.dn == config.GLOBAL and _touches_tls(request) for request in found)
        for request in found:
            self.show(f"cn=config: {request.what}", request.before, request.after)
        if found or (renewed and not told):
            if not self.missing.get("packages") and "absent" not in self.watched.values():
                rehearse(found, self.plan["key_group"])
            healthy = not self.report.dry and not self.complaint()
            if found:
                if not self.report.dry:
                    self.send_all(found)
                self.report.did("changed", "change", f"cn=config: {', '.join(request.what for request in found)}")
            if renewed and not told and self.report.did("took over", "take over", "the renewed certificate"):
                send(self.connection, config.reloaded_certificates(desired["global"]))
            wrong = self.complaint() if not self.report.dry else ""
            if wrong:
                if healthy and found:
                    raise Failed(f"does not serve with the new configuration ({wrong}); {self.take_back(found)}")
                raise Failed(f"does not serve: {wrong}")
        self.database_there = self.report.dry is False or not any(
            request.add and "olcSuffix" in request.add for request in found
        )
        self.record["config"] = {
            **{name: sorted(desired[name]) for name in ("global", "frontend", "database")},
            "overlays": sorted(name for name, overlay in desired["overlays"].items() if overlay["wanted"]),
        }

    def send_all(self, found: list[config.ConfigRequest]) -> None:
        """Send the requests one by one; the first that is refused takes back those before it."""
        self.begin()
        for at, request in enumerate(found):
            try:
                send(self.connection, request)
            except Failed as error:
                raise Failed(f"{error}; {self.take_back(found[:at])}") from None
        self.reopen(found)

    def reopen(self, found: list[config.ConfigRequest]) -> None:
        """Restart slapd where a database got another size: 2.6 answers no search in it before, and may end."""
        if any(name == "olcDbMaxSize" for request in found for _verb, name, _values in request.modifications):
            units.act("restart", "slapd.service")
            self.connection = Connection()

    def take_back(self, found: list[config.ConfigRequest]) -> str:
        """Send the inverse of requests; tells what became of it.

        Modules and schema stay, which harms nobody: slapd cannot unload the one and may not remove the other. It also
        keeps TLS once it has it.
        """
        remaining = []
        for request in reversed(found):
            try:
                if request.gone is not None:
                    send(self.connection, dataclasses.replace(request, add=request.gone, gone=None))
                elif request.add and ("olcSuffix" in request.add or "olcOverlay=" in request.dn):
                    send(self.connection, dataclasses.replace(request, gone=request.add))
                elif request.inverse:
                    send(self.connection, dataclasses.replace(request, modifications=request.inverse))
                else:
                    remaining.append(request.what)
            except Failed:
                remaining.append(request.what)
        self.reopen(found)
        if not remaining:
            self.under_way = False
            self.keep_record()
        return "the old configuration is back" + (
            f", except for {', '.join(remaining)}, which stays" if remaining else ""
        )

    def complaint(self) -> str:
        """Return what is wrong with what slapd serves on port 636, empty if nothing."""
        settings = self.plan["config"]["global"]
        try:
            context = ssl.create_default_context(cafile=settings["olcTLSCACertificateFile"][0])
            name = self.plan["server_name"]
            with (
                socket.create_connection((name, 636), timeout=5) as link,
                context.wrap_socket(link, server_hostname=name) as secured,
            ):
                served = secured.getpeercert(binary_form=True)
            pem = files.text(settings["olcTLSCertificateFile"][0])
            end = pem.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)
            on_disk = ssl.PEM_cert_to_DER_cert(pem[pem.index(ssl.PEM_HEADER) : end])
        except (OSError, ValueError, KeyError) as error:
            return f"TLS on port 636: {error}"
        return "" if served == on_disk else "port 636 shows another certificate than the one on disk"

    # --- entries of another host

    def take_over(self) -> None:
        """Have the database hold what was brought here, or all that the provider has before it follows the provider.

        A replica that filled while it serves would deny accounts that have not come yet. Where the provider does not
        answer, the replica follows with what it has: without entries nobody can log in to ask it.
        """
        replica, suffix = self.plan["replica"], self.plan["config"]["suffix"]
        if replica and "accounts" in self.record:
            raise Failed(
                "this host holds accounts and passwords that are changed here: run postamt.mail.move_directory"
            )
        arrived = {} if replica or "accounts" in self.record else files.load(host.ARRIVING)
        tree = self.connection.search(config.GLOBAL, "subtree", _CONFIG_FILTER) if replica else {}
        follows = any("olcSyncrepl" in entry for entry in tree.values() if entry.get("olcSuffix") == [suffix])
        if not arrived and (not replica or follows) and not self.record.get("loading"):
            return
        where = f"brought from {arrived['from']}" if arrived else f"of {self.plan['provider']}"
        ldif = arrived.get("ldif", "")
        if replica and not ldif:
            try:
                ldif = as_ldif(self.provider(), suffix)
            except Failed:
                if not self.record.get("loading"):
                    return
        if self.report.dry:
            self.report.did("took up", "take up", f"the directory {where}")
            return
        alone = {name: v for name, v in self.plan["config"]["database"].items() if name not in FOLLOWS}
        self.configure({**self.plan["config"], "database": alone})
        try:
            self.load(ldif)
        except (Failed, OSError) as error:
            raise Failed(f"{error}; slapd is not started before a run has loaded the directory: run again") from None
        self.record.update(arrived.get("record", {}))
        self.record.pop("loading", None)
        self.keep_record()
        if arrived:
            files.remove(host.ARRIVING)
        if ldif:
            self.report.did("took up", "take up", f"the directory {where}")

    def provider(self) -> Connection:
        """Return a connection to the provider; raises Failed where it does not answer."""
        replica = self.plan["replica"]
        return Connection(replica["socket"], 1.0, (replica["dn"], replica["password"]))

    def load(self, ldif: str) -> None:
        """Have the database hold these entries, or again what it held where there are none; slapd stops meanwhile.

        What it held stays in a folder beside it.
        """
        folder = self.plan["config"]["database"]["olcDbDirectory"][0]
        before = f"{folder}.before"
        pid = _text_of(PID_FILE).strip()
        if not self.record.get("loading"):  # noted while slapd runs: a full disk must not keep it stopped
            files.remove_tree(before)
            self.record["loading"] = True
            self.keep_record()
        units.act("stop", "slapd.service")
        until = time.monotonic() + 10
        while pid and files.exists(f"/proc/{pid}"):  # Debian 12's init script may say too early that it did
            if time.monotonic() > until:
                raise Failed("slapd was stopped, but its process goes on: stop it by hand")
            time.sleep(0.1)
        if not files.exists(before):
            files.rename(folder, before)
        files.remove_tree(folder)
        if ldif:
            _make_folder(folder)
            suffix = self.plan["config"]["suffix"]
            _as_slapd("slapadd", "-q", "-F", CONFIG, "-b", suffix, data=ldif)
        else:
            files.rename(before, folder)
        os.sync()
        units.act("start", "slapd.service")
        self.connection = Connection()

    # --- entries

    def fill(self) -> None:
        """Make the entries as the inventory means them; passwords only those that the second call brings."""
        desired = self.plan["entries"]
        if desired is None:
            self.note_lag()
            return
        tree: config.Tree = {}
        if self.database_there:
            tree = self.connection.search(desired["suffix"], "subtree", names=ENTRY_ATTRIBUTES)
        current = {dn: entries.Entry(dn, attributes) for dn, attributes in tree.items()}
        merge = entries.merge(desired, current, self.record, stored_digest)
        self.notes += merge.notes
        if self.plan["followed"] and self.database_there and (merge.changes or merge.needed):
            refuse_late(self.connection, desired["suffix"])
        self.tell(merge.changes)
        if merge.changes and not self.report.dry:
            # a run that ends half way must leave nothing that a later one takes for somebody else's
            self.under_way = True
            self.record.update(entries.united(self.record, merge.record))
            self.keep_record()
            roots = [request for request in merge.changes if request.kind == "branch"]
            rest = [request for request in merge.changes if request.kind != "branch"]
            self.connection.all_of(map(self.connection.entry_request, roots))
            self.connection.all_of(map(self.connection.entry_request, rest), _WINDOW)
        self.record.update(merge.record)
        self.set_passwords(merge.needed)

    def note_lag(self) -> None:
        """Say if a replica is not in step with the provider after a while; it does not need this run to catch up."""
        provider = self.plan["provider"]
        if not self.database_there or (self.report.dry and self.report.changed):
            return
        suffix = self.plan["config"]["suffix"]
        try:
            at_provider = self.provider()
            goal = state(at_provider, suffix)
        except Failed:
            self.notes.append(f"the provider {provider} does not answer: changes come when it answers again")
            return
        end = time.monotonic() + (_PATIENCE if self.report.changed else 2)
        while state(self.connection, suffix) < goal:
            if time.monotonic() > end:
                self.notes.append(f"the directory here lacks changes of {provider} still; it goes on fetching them")
                return
            time.sleep(0.1)
        if not self.report.dry and files.exists(host.ARRIVING):
            files.remove(host.ARRIVING)  # of a move that was taken back
        self.compare_entries(at_provider, suffix)

    def compare_entries(self, provider: Connection, suffix: str) -> None:
        """Have the replica take all entries anew where they differ though it is at the same change as the provider.

        A change that the provider makes while its clock is behind counts as an old one, and is sent to nobody.
        """
        for _again in range(3):  # a change may come in between
            at = state(provider, suffix)
            theirs, ours = _changes_of(provider, suffix), _changes_of(self.connection, suffix)
            if theirs == ours:
                return
            if state(provider, suffix) == at == state(self.connection, suffix):
                break
            time.sleep(0.5)
        else:
            return
        differ = sum(theirs.get(dn) != ours.get(dn) for dn in {**theirs, **ours})
        many = "1 entry" if differ == 1 else f"{differ} entries"
        if self.report.did("took", "take", f"the directory of {self.plan['provider']} anew ({many} differed)"):
            ldif = as_ldif(provider, suffix)
            try:
                self.load(ldif)
            except (Failed, OSError) as error:  # a full disk, perhaps; few entries that differ are better than none
                self.load("")
                raise Failed(f"{error}; it serves with the entries that it had") from None
            self.record.pop("loading", None)
            self.keep_record()

    def tell(self, requests: list[entries.EntryRequest]) -> None:
        """Say what becomes of which entries, in one sentence a verb and kind."""
        groups: dict[tuple[str, str], list[entries.EntryRequest]] = {}
        for request in requests:
            groups.setdefault((request.verb, request.kind), []).append(request)
        for (verb, kind), group in groups.items():
            if kind == "branch":
                self.report.did(
                    "added", "add", f"the directory's root and branches below {self.plan['entries']['suffix']}"
                )
                continue
            plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("s") else f"{kind}s"
            word = kind if len(group) == 1 else f"{len(group)} {plural}"
            self.report.did(PAST[verb], verb, f"{word}: {entries.names(request.name for request in group)}")
        if requests and self.module._diff:
            before = [line for request in requests for line in request.lines(request.before)]
            after = [line for request in requests for line in request.lines(request.after)]
            self.show(f"entries below {self.plan['entries']['suffix']}", before, after)

    def set_passwords(self, names: list[str]) -> None:
        """Apply the passwords at hand, and name those that are needed."""
        given = self.request.get("passwords", {})
        now = [name for name in names if name in given]
        self.needed = [name for name in names if name not in given]
        if self.report.dry:
            self.needed = []
            if names:
                self.report.did("set", "set", f"the password of {entries.names(names)}")
            return
        if not now:
            return
        self.begin()
        suffix = self.plan["entries"]["suffix"]
        dns = self.dns(suffix, ("mail", "cn"))
        self.connection.all_of((self.password_request(name, dns[name][0], given[name]) for name in now), _WINDOW)
        self.report.did("set", "set", f"the password of {entries.names(now)}")
        after = self.dns(suffix, ("mail", "cn", "userPassword"))
        for name in now:
            self.record["passwords"][name] = {
                "fingerprint": self.plan["entries"]["fingerprints"][name],
                "stored": stored_digest(after[name][1].get("userPassword", [])),
            }

    def dns(self, suffix: str, names: Iterable[str]) -> dict[str, tuple[str, config.Attributes]]:
        """Return DN and attributes of accounts by address, of services and clients by service:NAME or client:NAME."""

        def below(branch: str, kind: str) -> Iterable[tuple[str, config.Attributes]]:
            return self.connection.search(f"ou={branch},{suffix}", "subtree", f"(objectClass={kind})", names).items()

        found = {entry["mail"][0].lower(): (dn, entry) for dn, entry in below("accounts", entries.ACCOUNT[1])}
        for kind, (branch, structural) in entries.LOGINS.items():
            found.update({f"{kind}:{entry['cn'][0]}": (dn, entry) for dn, entry in below(branch, structural)})
        return found

    def password_request(self, name: str, dn: str, password: Mapping[str, str]) -> tuple[str, Callable[[], int]]:
        what = f"to set the password of {name}"
        if "hash" in password:
            return what, lambda: self.connection.modify(dn, [("replace", "userPassword", [password["hash"]])])
        return what, lambda: self.connection.password(dn, password["clear"])


def _text_of(path: str) -> str:
    seen = files.see(path)
    return seen.content.decode("utf-8", "replace") if seen else ""


def _services(text: str) -> str:
    found = re.search(r"(?m)^SLAPD_SERVICES=.*$", text)
    return found[0] if found else ""


def _as_slapd(*command: str, check: bool = True, data: str | None = None) -> str:
    """Run a command as slapd's user, and return what it prints.

    What lies in that user's folders, links and modules to load among it, never acts with the rights of root.
    """
    return units.as_user(USER, *command, check=check, data=data).stdout


def _slapcat(*place: str) -> str:
    """Return what a database has, as LDIF, from slapd's files; place: options of slapcat(8) that name it."""
    return _as_slapd("slapcat", "-o", "ldif-wrap=no", *place, check=False)


def places(listen: str) -> list[tuple[str, int]]:
    """Return address (empty for all) and port of what slapd is told to listen on (slapd(8), -h)."""
    found = []
    for url in map(urlsplit, listen.split()):
        port = url.port or {"ldap": 389, "ldaps": 636}.get(url.scheme)
        hosts = ("127.0.0.1", "::1") if url.hostname == "localhost" else (url.hostname or "",)
        found += [(host, port) for host in hosts if port and url.scheme != "ldapi"]
    return found


def _used(suffix: str) -> bool:
    """Tell whether a database holds more than the entries that Debian's package makes."""
    listed = _slapcat("-b", suffix).splitlines()
    found = {line.partition(" ")[2].casefold() for line in listed if line.startswith("dn:")}
    return bool(found - {suffix.casefold(), f"cn=admin,{suffix}".casefold()})


def as_ldif(connection: Connection, suffix: str) -> str:
    """Return all entries as slapadd(8) takes them, with what they are at (entryUUID, entryCSN, contextCSN)."""
    tree = connection.search(suffix, "subtree", names=["*", "+"])
    blocks = []
    for dn, attributes in sorted(tree.items(), key=lambda item: item[0].count(",")):
        pairs = [("dn", dn), *((n, v) for n, values in attributes.items() if n not in _DERIVED for v in values)]
        coded = ((name, base64.b64encode(v.encode("utf-8", "surrogateescape")).decode()) for name, v in pairs)
        blocks.append("".join(f"{name}:: {value}\n" for name, value in coded))
    return "\n".join(blocks)


def state(connection: Connection, suffix: str) -> str:
    """Return at which change a directory is (contextCSN of RFC 4533's authors), empty where it has none."""
    found = connection.search(suffix, "base", names=["contextCSN"])
    return max((value for entry in found.values() for value in entry.get("contextCSN", [])), default="")


def _changes_of(connection: Connection, suffix: str) -> dict[str, list[str]]:
    """Return by DN at which change each entry is."""
    found = connection.search(suffix, "subtree", names=["entryCSN"])
    return {dn: entry.get("entryCSN", []) for dn, entry in found.items()}


def late(change: str, now: float) -> str:
    """Return what is wrong with a clock that says `now` where a directory is at a change, empty if nothing."""
    if not change:
        return ""
    last = datetime.datetime.strptime(change[:14], "%Y%m%d%H%M%S").replace(tzinfo=datetime.UTC)
    behind = round(last.timestamp() - now)
    if behind <= _CLOCKS:
        return ""
    return (
        f"the clock here is {behind} seconds behind the directory's last change, and replicas ignore changes that "
        "look older: set the clock right (timedatectl(1)), here or where it was wrong, and run again"
    )


def refuse_late(connection: Connection, suffix: str) -> None:
    """Raise Failed where a change that is made now would be sent to no replica."""
    if wrong := late(state(connection, suffix), time.time()):
        raise Failed(wrong)


def _touches_tls(request: config.ConfigRequest) -> bool:
    return any(name in config.TLS for _verb, name, _values in request.modifications)


def send(connection: Connection, request: config.ConfigRequest) -> None:
    """Send one request about cn=config; raises Failed."""
    add = request.add
    if request.gone is not None:
        connection.all_of([(f"to remove {request.what}", lambda: connection.delete(request.dn))])
    elif add is not None:
        connection.all_of([(request.what, lambda: connection.add(request.dn, add))])
    else:
        connection.all_of([(request.about, lambda: connection.modify(request.dn, request.modifications))])


# --- the rehearsal


def rehearse(requests: list[config.ConfigRequest], group: str) -> None:
    """Make the changes on a second slapd that has a copy of cn=config; raises Failed with what slapd says."""
    if not requests:
        return
    with _second_slapd(group) as connection:
        for request in requests:
            try:
                send(connection, _elsewhere(request))
            except Failed as error:
                raise Failed(f"{error}; nothing was changed") from None


def _elsewhere(request: config.ConfigRequest) -> config.ConfigRequest:
    """Return a change so that the copy has an empty database of its own, and does not begin to follow the provider."""
    quiet = {"olcSyncrepl": lambda values: list(map(_of_nobody, values))}
    modifications = [(verb, name, quiet.get(name, list)(values)) for verb, name, values in request.modifications]
    add = request.add and {name: quiet.get(name, list)(values) for name, values in request.add.items()}
    if add and "olcDbDirectory" in add:
        add["olcDbDirectory"] = [_new_folder("database")]
    return dataclasses.replace(request, add=add, modifications=modifications)


def _of_nobody(value: str) -> str:
    """Return olcSyncrepl with a provider that nobody is."""
    return re.sub(r"provider=\S+", "provider=ldapi://%2Fnonexistent", value)


def _new_folder(name: str) -> str:
    """Make a folder of slapd's user; nobody but root can exchange it for something else."""
    path = os.path.join(REHEARSAL, name)
    _make_folder(path)
    return path


def _make_folder(path: str) -> None:
    files.make_folder(path, 0o700, folders.number(files.uid_of, USER), folders.number(files.gid_of, USER))


@contextlib.contextmanager
def _second_slapd(group: str) -> Iterator[Connection]:
    units.output("systemctl", "stop", REHEARSAL_UNIT, check=False)  # of a killed run
    files.private_folder(REHEARSAL, empty=True)
    try:
        files.make_folder(REHEARSAL, 0o711)
        place, path = _new_folder("slapd.d"), os.path.join(_new_folder("run"), "socket")
        _as_slapd("slapadd", "-n", "0", "-F", place, data=detached(_slapcat("-n", "0"), _new_folder))
        # systemd ends it after a while where this run is killed
        units.output(
            *("systemd-run", "--quiet", "--collect", f"--unit={REHEARSAL_UNIT}", "--property=RuntimeMaxSec=60"),
            *(f"--property=User={USER}", f"--property=SupplementaryGroups={group}", "--property=StandardError=null"),
            *("--", "/usr/sbin/slapd", "-d", "0", "-s", "0", "-h", f"ldapi://{quote(path, safe='')}", "-F", place),
        )
        yield Connection(path)
    finally:
        units.output("systemctl", "stop", REHEARSAL_UNIT, check=False)
        files.remove_tree(REHEARSAL)


def detached(ldif: str, new_folder: Callable[[str], str]) -> str:
    """Return cn=config without what touches the pid file, the databases and the provider of the real slapd.

    ldif: unwrapped, as slapcat(8) prints it. new_folder: makes a folder for a database and returns its path.
    """
    lines = []
    for number, line in enumerate(ldif.splitlines()):
        name, _colon, value = line.partition(":")
        if name in ("olcPidFile", "olcArgsFile"):
            continue
        if name == "olcDbDirectory":
            line = f"{name}: {new_folder(f'data-{number}')}"
        if name == "olcSyncrepl":
            text = base64.b64decode(value[1:]).decode() if value.startswith(":") else value[1:]
            line = f"{name}:: {base64.b64encode(_of_nobody(text).encode()).decode()}"
        lines.append(line)
    return "\n".join([*lines, ""])


def apply(module: AnsibleModule) -> None:
    """Apply the plan of the module's request; ends the module."""
    change = Transaction(module)
    transaction.execute(change.program, module, change.answered)
