# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply the plan of slapd: cn=config and the entries, looked at and changed over one ldapi connection."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, host, program, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import config, entries, offline, rehearsal, replica
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import (
    CONFIG_FILTER,
    ENTRY_ATTRIBUTES,
    Connection,
    send,
    stored_digest,
)
from ansible_collections.postamt.mail.plugins.module_utils._slapd.merge import merge, united
from ansible_collections.postamt.mail.plugins.module_utils._slapd.paths import CONFIG, DEFAULTS, PID_FILE, RECORD, USER

FOLLOWS = ("olcSyncrepl", "olcUpdateRef")  # what makes a database a replica
_PATIENCE = 30  # seconds for a new replica to have all entries; 20,000 take about half as long
_WINDOW = 4  # requests under way at once: enough to keep slapd busy, and it logs when a connection has many


class Slapd(program.Program):
    """What tells that the directory is as a run left it."""

    evidence_needs = ("suffix",)

    def evidence(self) -> dict[str, Any]:
        """Return digests of cn=config, of the changes that all entries are at, and of the process."""
        if not self.plan["wanted"]:
            return {}
        connection = Connection(wait=0.0)
        tree = connection.search(config.GLOBAL, "subtree", CONFIG_FILTER)
        process = files.text(PID_FILE).strip()
        said = files.text(f"/proc/{process}/status")
        return {
            "cn=config": _digest_of(tree),
            # contextCSN alone may stay the same while entries differ
            "the directory": _digest_of(connection.search(self.plan["suffix"], "subtree", names=["entryCSN"])),
            "what slapd runs with": [
                files.text(f"/proc/{process}/cmdline"),
                re.findall(r"(?m)^Groups:.*$", said),
                files.readlink(f"/proc/{process}/exe").endswith(" (deleted)"),
            ],
            "the record of the directory": files.digest(RECORD),
            "a directory to be taken up": files.exists(host.ARRIVING),
        }


def _digest_of(tree: config.Tree) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


class Transaction(program.Transaction):
    """One run of slapd's plan."""

    def __init__(self, module: AnsibleModule, request: dict[str, Any] | None = None) -> None:
        super().__init__(Slapd, module, request)
        self.record_file = RECORD
        self.needed: list[str] = []
        self.notes: list[str] = []
        self.shared: list[str] = []  # units that run for somebody else too

    def exit(self) -> None:
        self.module.exit_json(
            changed=self.changed,
            actions=self.actions,
            notes=self.notes,
            diff=self.diffs,
            missing=self.missing,
            passwords_needed=self.needed,
        )

    def apply(self) -> None:
        self.missing = self.look_for_missing()
        if self.missing and not self.dry:
            return  # the action installs it and calls again
        self.record = files.load(self.record_file)
        self.under_way = bool(self.record.pop("under_way", False))
        self.manifest = files.load(self.manifest_file)
        self.shared = self.manifest.get("shared", [])
        self.folders = [folder for folder in self.plan["directories"] if not program.folder_right(folder)]
        self.targets = [self.target(file) for file in self.plan["files"]] if self.enabled else []
        self.look_at_units()
        if self.missing.get("packages"):
            self.enables = []  # its package does that
        if not self.enabled:
            self.leave()
            self.keep_claim()
            return
        if self.under_way and "passwords" not in self.request:  # those come in this run's own second call
            self.did("finished", "finish", "a change that an earlier run left half done")
        self.watched = {path: files.digest(path) for path in self.plan["watch"]}
        if self.manifest.get("watch") != self.watched and "absent" in self.watched.values() and not self.dry:
            absent = [path for path, digest in self.watched.items() if digest == "absent"]
            raise Failed(f"{', '.join(absent)} is not there: run the role certificates on this host first")
        self.refuse_taken_ports()
        self.make_folders()
        served = bool(self.running)
        self.run_slapd()
        absent = self.missing.get("packages", [])
        if self.dry and (not served or "python3-ldap" in absent):
            self.connection: Connection = offline.Files()
            if absent:
                self.actions.append(f"the new configuration was not checked: not installed are {', '.join(absent)}")
        else:
            self.connection = Connection()
        kept = dict(self.record)
        if not self.record and not self.dry:  # cn=config as it was, for whoever wants it back
            if self.foreign_suffixes(offline.Files().search(config.GLOBAL, "subtree")):
                self.shared = ["slapd.service"]
            self.keep_original("/cn=config.ldif", files.Seen(offline.slapcat("-n", "0").encode(), 0o600, 0, 0))
        self.take_over()
        self.configure(self.plan["config"])
        self.fill()
        if (self.record != kept or self.under_way) and not self.dry:
            self.under_way = bool(self.needed)
            self.keep_record()
        self.keep_claim()

    def keep_record(self) -> None:
        files.private_folder(self.home)
        files.save(self.record_file, {**self.record, **({"under_way": True} if self.under_way else {})})

    def begin(self) -> None:
        """Mark that a change is under way, so that the next run says what it finishes."""
        if not self.dry and not self.under_way:
            self.under_way = True
            self.keep_record()

    def keep_claim(self) -> None:
        if not self.dry and self.manifest != self.claim():
            self.keep_manifest()

    def files_of_ours(self) -> list[str]:
        return sorted([DEFAULTS, *(t.path for t in self.targets)] if self.enabled else self.manifest.get("files", ()))

    def compare(self) -> program.Comparison:
        """Say what changes for databases of somebody else: ours comes beside them, but they share cn=config."""
        if not self.enabled or files.load(self.record_file) or not shutil.which("slapcat"):
            return program.Comparison()
        tree = offline.Files().search(config.GLOBAL, "subtree")
        shared = [c for c in config.changes(self.plan["config"], tree, {}) if c.dn in (config.GLOBAL, config.FRONTEND)]
        used = self.foreign_suffixes(tree)
        if not used and not any(request.before for request in shared):
            return program.Comparison()
        listens, listen = _services(text_of(DEFAULTS)), _services(f'SLAPD_SERVICES="{self.plan["listen"]}"')
        lines = [f"-{DEFAULTS}: {listens}\n", f"+{DEFAULTS}: {listen}\n"] if listens != listen else []
        lines += [f"-{line}\n" for request in shared for line in request.before]
        lines += [f"+{line}\n" for request in shared for line in request.after]
        served = f" (which serves {', '.join(used)})" if used else ""
        return program.Comparison([f"cn=config{served}"], "".join(["--- cn=config\n+++ wanted\n", *lines]))

    def foreign_suffixes(self, tree: config.Tree) -> list[str]:
        """Return the suffixes of databases that serve somebody else's entries: one that does not run serves nobody."""
        suffixes = [suffix for entry in tree.values() for suffix in entry.get("olcSuffix", [])]
        running = units.states(["slapd.service"])["slapd.service"].active
        return [
            suffix
            for suffix in suffixes
            if running and suffix != self.plan["config"]["suffix"] and offline.used(suffix)
        ]

    def claim(self) -> dict[str, Any]:
        return {**super().claim(), "shared": self.shared}

    def applied(self) -> dict[str, Any]:
        return {} if self.needed or self.under_way else super().applied()

    def look_for_missing(self) -> dict[str, list[Any]]:
        """Return also which group slapd's user has to join."""
        found = super().look_for_missing()
        group = self.plan.get("key_group", "")
        if group and not program.in_group(USER, group):
            found["groups"] = [group]
            if self.dry:
                self.did("added", "add", f"user {USER} to group {group}")
        return found

    def show(self, header: str, before: list[str], after: list[str]) -> None:
        """Add an entry to the diff."""
        old, new = ("".join(f"{line}\n" for line in lines) for lines in (before, after))
        self.diffs.append({"before_header": header, "after_header": header, "before": old, "after": new})

    def leave(self) -> None:
        """Stop a slapd that is this collection's and that the site does not want here; its data stays."""
        if not self.record:
            return  # a directory of somebody else
        self.activate()

    # --- the process

    def refuse_taken_ports(self) -> None:
        """Stop where somebody has a port: slapd starts without it, and who asks there would ask somebody else."""
        listen = self.plan["listen"]
        if self.starts or _services(text_of(DEFAULTS)) != _services(f'SLAPD_SERVICES="{listen}"'):
            taken = units.taken(places(listen), ("slapd.service",))
            if taken:
                raise Failed(f"{'; '.join(taken)}; nothing was changed")

    def run_slapd(self) -> None:
        """Have slapd listen as the plan says and run in the group that may read its key."""
        listen = self.plan["listen"]
        seen, before = files.see(DEFAULTS), text_of(DEFAULTS)
        after, count = re.subn(r"(?m)^SLAPD_SERVICES=.*$", lambda _: f'SLAPD_SERVICES="{listen}"', before)
        after = after if count else f'{before}SLAPD_SERVICES="{listen}"\n'
        if before != after:
            self.diffs.append({"before_header": DEFAULTS, "after_header": DEFAULTS, "before": before, "after": after})
            if self.did("wrote", "write", f"{DEFAULTS} (listens on {listen})"):
                self.begin()
                if seen and DEFAULTS not in self.manifest.get("files", ()):
                    self.keep_original(DEFAULTS, seen)
                mode, uid, gid = (seen.mode, seen.uid, seen.gid) if seen else (0o644, 0, 0)
                files.replace(DEFAULTS, after.encode(), mode, uid, gid)
        self.restarted = False
        new_unit = self.write_drop_ins()
        if self.running and (why := self.outdated(listen) or new_unit):
            if self.did("restarted", "restart", f"slapd ({why})"):
                self.begin()
                self.restart()
                if self.outdated(listen):  # Debian 12's init script says it did
                    raise Failed("slapd was restarted, but the old process goes on: stop it by hand")
            self.restarted = True
        self.restarted |= bool(self.starts)
        if self.starts or self.enables:
            self.begin()
        self.activate()

    def write_drop_ins(self) -> str:
        """Write the drop-ins of slapd's unit; returns why a running slapd has to be restarted for them, or nothing."""
        self.changes = [target for target in self.targets if not target.right]
        for target in self.changes:
            self.diffs.append(target.difference())
            if self.did("wrote", "write", target.path):
                self.begin()
                self.made += files.make_folder(os.path.dirname(target.path))
                files.replace(target.path, target.content, target.mode, 0, 0)
        self.reload_unit_files(target.path for target in self.changes)
        # What the manifest says was written before slapd was restarted last.
        known = self.manifest.get("files", {})
        late = [t for t in self.targets if known.get(t.path) != hashlib.sha256(t.content).hexdigest()]
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
            self.reload_unit_files(target.path for target in self.changes)
            units.act("restart", "slapd.service")
            raise Failed(f"{error}; its old unit is back, and slapd serves with it") from None
        if self.manifest:  # a run that fails later restarts it no more
            self.manifest = {**self.manifest, "files": {path: files.digest(path) for path in self.files_of_ours()}}
            files.save(self.manifest_file, self.manifest)

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
        tree = self.connection.search(config.GLOBAL, "subtree", CONFIG_FILTER)
        recorded = self.record.get("config", {})
        try:
            found = config.changes(desired, tree, recorded)
        except config.ConfigError as error:
            raise Failed(str(error)) from None
        renewed = bool(self.stale_certificates()) and not self.restarted
        told = any(request.dn == config.GLOBAL and _touches_tls(request) for request in found)
        for request in found:
            self.show(f"cn=config: {request.what}", request.before, request.after)
        if found or (renewed and not told):
            if not self.missing.get("packages") and "absent" not in self.watched.values():
                rehearsal.rehearse(found, self.plan["key_group"])
            healthy = not self.dry and not self.complaint()
            if found:
                if not self.dry:
                    self.send_all(found)
                self.did("changed", "change", f"cn=config: {', '.join(request.what for request in found)}")
            if renewed and not told and self.did("took over", "take over", "the renewed certificate"):
                send(self.connection, config.reloaded_certificates(desired["global"]))
            wrong = self.complaint() if not self.dry else ""
            if wrong:
                if healthy and found:
                    raise Failed(f"does not serve with the new configuration ({wrong}); {self.take_back(found)}")
                raise Failed(f"does not serve: {wrong}")
        self.database_there = self.dry is False or not any(
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
        follow, suffix = self.plan["replica"], self.plan["config"]["suffix"]
        if follow and "accounts" in self.record:
            raise Failed(
                "this host holds accounts and passwords that are changed here: run postamt.mail.move_directory"
            )
        arrived = {} if follow or "accounts" in self.record else files.load(host.ARRIVING)
        tree = self.connection.search(config.GLOBAL, "subtree", CONFIG_FILTER) if follow else {}
        follows = any("olcSyncrepl" in entry for entry in tree.values() if entry.get("olcSuffix") == [suffix])
        if not arrived and (not follow or follows) and not self.record.get("loading"):
            return
        where = f"brought from {arrived['from']}" if arrived else f"of {self.plan['provider']}"
        ldif = arrived.get("ldif", "")
        if follow and not ldif:
            try:
                ldif = replica.as_ldif(self.provider(), suffix)
            except Failed:
                if not self.record.get("loading"):
                    return
        if self.dry:
            self.did("took up", "take up", f"the directory {where}")
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
            self.did("took up", "take up", f"the directory {where}")

    def provider(self) -> Connection:
        """Return a connection to the provider; raises Failed where it does not answer."""
        follow = self.plan["replica"]
        return Connection(follow["socket"], 1.0, (follow["dn"], follow["password"]))

    def load(self, ldif: str) -> None:
        """Have the database hold these entries, or again what it held where there are none; slapd stops meanwhile.

        What it held stays in a folder beside it.
        """
        folder = self.plan["config"]["database"]["olcDbDirectory"][0]
        before = f"{folder}.before"
        pid = text_of(PID_FILE).strip()
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
            offline.make_folder(folder)
            suffix = self.plan["config"]["suffix"]
            offline.as_slapd("slapadd", "-q", "-F", CONFIG, "-b", suffix, data=ldif)
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
        result = merge(desired, current, self.record, stored_digest)
        self.notes += result.notes
        if self.plan["followed"] and self.database_there and (result.changes or result.needed):
            replica.refuse_late(self.connection, desired["suffix"])
        self.tell(result.changes)
        if result.changes and not self.dry:
            # a run that ends half way must leave nothing that a later one takes for somebody else's
            self.under_way = True
            self.record.update(united(self.record, result.record))
            self.keep_record()
            roots = [request for request in result.changes if request.kind == "branch"]
            rest = [request for request in result.changes if request.kind != "branch"]
            self.connection.all_of(map(self.connection.entry_request, roots))
            self.connection.all_of(map(self.connection.entry_request, rest), _WINDOW)
        self.record.update(result.record)
        self.set_passwords(result.needed)

    def note_lag(self) -> None:
        """Say if a replica is not in step with the provider after a while; it does not need this run to catch up."""
        provider = self.plan["provider"]
        if not self.database_there or (self.dry and self.changed):
            return
        suffix = self.plan["config"]["suffix"]
        try:
            at_provider = self.provider()
            goal = replica.state(at_provider, suffix)
        except Failed:
            self.notes.append(f"the provider {provider} does not answer: changes come when it answers again")
            return
        end = time.monotonic() + (_PATIENCE if self.changed else 2)
        while replica.state(self.connection, suffix) < goal:
            if time.monotonic() > end:
                self.notes.append(f"the directory here lacks changes of {provider} still; it goes on fetching them")
                return
            time.sleep(0.1)
        if not self.dry and files.exists(host.ARRIVING):
            files.remove(host.ARRIVING)  # of a move that was taken back
        self.compare_entries(at_provider, suffix)

    def compare_entries(self, provider: Connection, suffix: str) -> None:
        """Have the replica take all entries anew where they differ though it is at the same change as the provider.

        A change that the provider makes while its clock is behind counts as an old one, and is sent to nobody.
        """
        for _again in range(3):  # a change may come in between
            at = replica.state(provider, suffix)
            theirs, ours = replica.changes_of(provider, suffix), replica.changes_of(self.connection, suffix)
            if theirs == ours:
                return
            if replica.state(provider, suffix) == at == replica.state(self.connection, suffix):
                break
            time.sleep(0.5)
        else:
            return
        differ = sum(theirs.get(dn) != ours.get(dn) for dn in {**theirs, **ours})
        many = "1 entry" if differ == 1 else f"{differ} entries"
        if self.did("took", "take", f"the directory of {self.plan['provider']} anew ({many} differed)"):
            ldif = replica.as_ldif(provider, suffix)
            try:
                self.load(ldif)
            except (Failed, OSError) as error:  # a full disk, perhaps; few entries that differ are better than none
                self.load("")
                raise Failed(f"{error}; it serves with the entries that it had") from None
            self.record.pop("loading", None)
            self.keep_record()

    def tell(self, requests: list[entries.EntryRequest]) -> None:
        """Say what becomes of which entries, in one sentence a verb and kind."""
        groups: dict[tuple[entries.Verb, str], list[entries.EntryRequest]] = {}
        for request in requests:
            groups.setdefault((request.verb, request.kind), []).append(request)
        for (verb, kind), group in groups.items():
            if kind == "branch":
                self.did("added", "add", f"the directory's root and branches below {self.plan['entries']['suffix']}")
                continue
            plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("s") else f"{kind}s"
            word = kind if len(group) == 1 else f"{len(group)} {plural}"
            self.did(entries.PAST[verb], verb, f"{word}: {entries.names(request.name for request in group)}")
        if requests and self.module._diff:
            before = [line for request in requests for line in request.lines(request.before)]
            after = [line for request in requests for line in request.lines(request.after)]
            self.show(f"entries below {self.plan['entries']['suffix']}", before, after)

    def set_passwords(self, names: list[str]) -> None:
        """Apply the passwords at hand, and name those that are needed."""
        given = self.request.get("passwords", {})
        now = [name for name in names if name in given]
        self.needed = [name for name in names if name not in given]
        if self.dry:
            self.needed = []
            if names:
                self.did("set", "set", f"the password of {entries.names(names)}")
            return
        if not now:
            return
        self.begin()
        suffix = self.plan["entries"]["suffix"]
        dns = self.dns(suffix, ("mail", "cn"))
        self.connection.all_of((self.password_request(name, dns[name][0], given[name]) for name in now), _WINDOW)
        self.did("set", "set", f"the password of {entries.names(now)}")
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


def text_of(path: str) -> str:
    seen = files.see(path)
    return seen.content.decode("utf-8", "replace") if seen else ""


def _services(text: str) -> str:
    found = re.search(r"(?m)^SLAPD_SERVICES=.*$", text)
    return found[0] if found else ""


def places(listen: str) -> list[tuple[str, int]]:
    """Return address (empty for all) and port of what slapd is told to listen on (slapd(8), -h)."""
    found = []
    for url in map(urlsplit, listen.split()):
        port = url.port or {"ldap": 389, "ldaps": 636}.get(url.scheme)
        hosts = ("127.0.0.1", "::1") if url.hostname == "localhost" else (url.hostname or "",)
        found += [(host, port) for host in hosts if port and url.scheme != "ldapi"]
    return found


def _touches_tls(request: config.ConfigRequest) -> bool:
    return any(name in config.TLS for _verb, name, _values in request.modifications)


def apply(module: AnsibleModule) -> None:
    """Apply the plan of the module's request; ends the module."""
    program.execute(Transaction(module))
