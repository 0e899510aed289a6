# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Dovecot checks a staged configuration, and takes a new one up."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import stat
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, secrecy, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Contents, Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.target import Target, settings, unified

MAIN = "/etc/dovecot/dovecot.conf"


class Dovecot(Program):
    def product(self, build: str, path: str) -> str:
        return f"{path.removesuffix('.sieve')}.svbin"

    def build(self, build: str, path: str, stage: str) -> None:
        """Compile a global Sieve script (sievec(1)): deliveries run as users who could not write the result."""
        built = units.output("sievec", "-c", stage + MAIN, stage + path, stage + self.product(build, path), check=False)
        if built.returncode != 0:
            raise units.Failed("; ".join((built.stderr or built.stdout).replace(stage, "").strip().splitlines()[:3]))

    def build_in_place(self, build: str, path: str) -> None:
        """Compile it where it lies: a binary that names another script is compiled anew at each delivery."""
        # named, since without that it goes by what a running Dovecot has read
        units.output("sievec", "-c", MAIN, path)

    def superseded_files(self) -> list[str]:
        """Return what Debian's dovecot.conf includes; the collection's is one file."""
        folders = (os.path.dirname(MAIN), f"{os.path.dirname(MAIN)}/conf.d")
        paths = sorted(f"{folder}/{name}" for folder in folders for name in files.names(folder))
        return [path for path in paths if path.endswith((".conf", ".ext")) and path != MAIN]

    def differences(self, desired: Mapping[str, str], targets: list[Target], superseded: list[str]) -> str:
        """Compare what is in force (doveconf(1)), since that may come from many files."""
        now = in_force()
        rest = super().differences(desired, [target for target in targets if target.path != MAIN], [])
        if not now:
            return super().differences(desired, targets, superseded)
        texts = [secrecy.without_passwords(settings(text)) for text in (now, desired[MAIN])]
        return rest + unified("doveconf -n", texts[0], MAIN, texts[1])

    def adoption_blockers(self, desired: Mapping[str, str]) -> tuple[list[str], list[str]]:
        """Say where users would not find their mail again."""
        old, new = mailboxes(in_force()), Mailboxes(**self.plan["mailboxes"])
        problems, notes = [], []
        if old.users != new.users:
            notes.append(
                f"Dovecot's accounts came from {old.users or 'nowhere'} and will come from {new.users}: an account "
                "keeps its mailbox only if it has the same home and owner there"
            )
        elif old.place.startswith("mbox:"):
            if new.place != old.place and (boxes := _mboxes()):
                notes.append(
                    f"mail in {', '.join(boxes)} (mbox) is not taken over: bring each into the new mailbox with "
                    'doveadm import -u USER mbox:~/mail:INBOX=/var/mail/USER "" all'
                )
        elif old.place and old.place != new.place:
            problems.append(
                f"mailboxes lie in {old.place}, and this site's in {new.place}: set mail_maildir to that path, or "
                "keep the present settings by dovecot_settings if it is no plain Maildir"
            )
        elif old.separator != new.separator:
            notes.append(
                f'the separator of folders was "{old.separator}" and will be "{new.separator}": mail programs and '
                f'Sieve scripts that know the old names need mail_folder_separator: "{old.separator}"'
            )
        return problems, notes

    def check(self, stage: str, dry: bool) -> list[str]:
        """Ask doveconf for all of the settings, certificates opened (doveconf(1)); it tells the first error only."""
        version = units.output("dovecot", "--version", check=False).stdout
        strict = ["-e", "/bin/true"] if version.startswith("2.3") else ["-F"]
        if dry and not all(map(files.exists, self.plan["opens"])):
            strict = ["-n"]  # the strict way opens them, and an earlier task of this run would have made them
        found = units.output("doveconf", "-c", stage + MAIN, *strict, check=False)
        if found.returncode == 0:
            return []
        lines = [line for line in found.stderr.splitlines() if "Fatal" in line or "Error" in line or "Panic" in line]
        return [line.replace(stage, "") for line in lines[:1]] or [f"doveconf: exit code {found.returncode}"]

    def ports(self, stage: str) -> set[tuple[str, int]]:
        asked = ("doveconf", "-c", stage + MAIN)
        enabled = units.output(*asked, "-h", "protocols", check=False).stdout
        return listeners(units.output(*asked, "service", check=False).stdout, enabled)

    def changed_settings(self, old: Contents, new: Contents) -> list[str]:
        """Return the lines of dovecot.conf that came and went, and the other files."""
        was, now = ([line.strip() for line in (side.get(MAIN) or "").splitlines()] for side in (old, new))
        came = [line for line in now if line not in was]
        went = [f"no more {line}" for line in was if line not in now]
        others = [path for path in super().changed_settings(old, new) if path != MAIN]
        return [*(came + went if MAIN in new else ()), *others]


def listeners(services: str, protocols: str) -> set[tuple[str, int]]:
    """Return address (empty for all) and port of the enabled listeners, from what doveconf prints of both settings."""
    lines = [line.partition("=") for line in protocols.splitlines()]
    enabled = {name for names, _equals, value in lines if value.strip() != "no" for name in names.split()}
    found = set()
    for block in re.split(r"(?m)^service ", services):
        protocol = re.search(r"(?m)^  protocol = (\S+)", block)
        if protocol and protocol[1] not in enabled:
            continue
        for listener in re.findall(r"inet_listener [^{]*\{([^{}]*)\}", block):
            said = dict(re.findall(r"(?m)^\s*(port|address|listen) = (\S+)", listener))
            if said.get("port", "0") != "0":
                found.add((said.get("address") or said.get("listen") or "", int(said["port"])))
    return found


@dataclasses.dataclass(frozen=True)
class Mailboxes:
    """Where mail lies and how its folders are called."""

    place: str  # as mail_location of 2.3 has it
    separator: str
    users: str  # drivers of the user databases


def mailboxes(text: str) -> Mailboxes:
    """Return what doveconf of either version prints about mailboxes."""
    said = dict(re.findall(r"(?m)^(mail\w+) = (.*)$", text))
    found = re.search(r"(?m)^namespace inbox \{\n(?:  .*\n)*?  separator = (.*)$", text)
    # One that only says who may go on to the next is nobody's home.
    gates = r"(?m)^userdb.*\{\n(?:  .*\n)*?  result_success = continue\n(?:  .*\n)*?\}\n"
    text = re.sub(gates, "", text)
    drivers = re.findall(r"(?m)^userdb(?: (\S+))? \{(?:\n  (?!driver).*)*(?:\n  driver = (\S+))?", text)
    return mailboxes_by(said, found[1].strip('"') if found else "", [driver or name for name, driver in drivers])


def mailboxes_by(said: Mapping[str, str], separator: str, drivers: Iterable[str]) -> Mailboxes:
    """Return what settings of either version say about mailboxes.

    said: the settings mail*; separator: of namespace inbox, empty where it has none; drivers: of the user databases.
    """
    place = said.get("mail_location", "")
    if "mail_driver" in said:
        parts = {"INBOX": "mail_inbox_path", "INDEX": "mail_index_path", "CONTROL": "mail_control_path"}
        parts["LAYOUT"] = "mailbox_list_layout"
        rest = [f"{word}={said[name]}" for word, name in parts.items() if said.get(name)]
        place = ":".join([said["mail_driver"], said.get("mail_path", ""), *rest])
    place = re.sub(r"%\{home\}", "~", place).rstrip("/")
    usual = "." if place.startswith("maildir:") and "LAYOUT=fs" not in place else "/"
    return Mailboxes(place, separator or usual, ", ".join(drivers))


def in_force() -> str:
    """Return what differs from Dovecot's defaults, secrets left out; nothing where it has no valid configuration."""
    if not shutil.which("doveconf"):
        return ""
    found = units.output("doveconf", "-n", check=False)
    lines = found.stdout.splitlines() if found.returncode == 0 else []
    return "".join(f"{line}\n" for line in lines if not line.endswith(" = "))


def _mboxes() -> list[str]:
    """Return the mailboxes of users in /var/mail that hold mail."""
    found = []
    for path in (f"/var/mail/{name}" for name in files.names("/var/mail")):
        status = files.status(path)
        if status and stat.S_ISREG(status.st_mode) and status.st_size and status.st_uid >= 1000:
            found.append(path)
    return found
