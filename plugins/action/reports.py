# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Add up reports of other servers (DMARC, TLS) by month; what they say is somebody else's text, and nobody signs it."""

from __future__ import annotations

import base64
import binascii
import datetime
import itertools
import json
import os
import re
import tempfile
import time
import typing as t
from collections.abc import Callable, Iterable, Iterator, Mapping

from ansible.plugins.action import ActionBase
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError, parse
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._reports import months, unpack
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.readers import readers
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.table import table
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.tally import Tally
from ansible_collections.postamt.mail.plugins.plugin_utils._run import inventory, remote, values
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import StateError

Answer = dict[str, t.Any]
READ = ("reports_month", "reports_folder", "reports_json", "reports_most")  # by the playbook, from -e
_OPTIONS = ("month", "folder", "json", "most")
_MOST = range(1, 100_001)  # messages
_BATCH = 8 << 20  # bytes of messages in one answer of a host
_TOGETHER = 200  # messages in one answer
_SECONDS = 900  # for reading all of them


class Failed(Exception):
    """The host's answer says why it is of no use."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class ActionModule(ActionBase):
    """Runs on all hosts; the one with the mailboxes does the work."""

    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: Answer | None = None) -> Answer:
        self._vars = task_vars or {}
        result: Answer = super().run(tmp, self._vars)
        try:
            return {**result, "changed": False, **self._answer()}
        except (SiteError, ComposeError, StateError) as error:
            return {**result, "failed": True, "msg": str(error)}
        except Failed as failed:
            return {**result, **failed.answer}

    def _answer(self) -> Answer:
        if wrong := inventory.from_facts(self._vars, self._vars["groups"].get(remote.GROUP, ()), READ):
            raise SiteError(wrong)
        wanted, folder, file, most = options(self._task.args)
        site = inventory.derive(self, self._vars, inventory.seen(self._vars), keep=False)
        if not site.hosts[remote.place_of(self, self._vars)].has("mail_store"):
            stores = [str(host.name) for host in site.hosts_with("mail_store")]
            if stores and not {*stores} & {*self._vars.get("ansible_play_hosts_all", stores)}:
                self._display.warning(f"no reports are read: the run is limited to hosts without {stores[0]}")
            return {"skipped": True, "skip_reason": "reports are read on the host with the mailboxes"}
        tally = Tally(site.domains, _addresses(site), wanted)
        until = time.monotonic() + _SECONDS

        def late() -> bool:
            return time.monotonic() > until

        for name, content in (
            _files(folder, most, tally, late) if folder else self._messages(site, wanted, most, tally, late)
        ):
            if late():
                tally.left_out.no_time += 1
            else:
                tally.add(name, content)
        self._display.display(table(tally))
        if file and not self._task.check_mode:
            _write(file, tally.data())
        return tally.data()

    def _messages(
        self, site: Site, wanted: list[str], most: int, tally: Tally, late: Callable[[], bool]
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the messages in the mailboxes to which reports go, until it is late."""
        found = readers(site)
        if not found.addresses:
            allowed = "is not set, nor is mail_tls_reports: nobody is asked to send reports"
            raise SiteError([Problem("mail_dmarc_reports", None, allowed)])
        for address in found.elsewhere:
            self._display.warning(
                f"reports go to {address}, which is no mailbox of the site: save them as files, and name their folder "
                "(-e reports_folder=...)"
            )
        since, before = months.arrival(wanted)
        addresses = [*dict.fromkeys(found.addresses.values())]
        request = {"users": found.mailboxes, "addresses": addresses, "since": since, "before": before, "most": most}
        listed = self._ask(request) if found.mailboxes else {}
        tally.left_out.too_many += listed.get("more", 0)
        messages = []
        for message in listed.get("messages", ())[:most]:
            if message["size"] > unpack.MESSAGE:
                tally.left_out.too_large += 1
            else:
                messages.append(message)
        for user, mailbox, batch in batches(messages):
            if late():
                tally.left_out.no_time += len(batch)
                continue
            yield from self._texts(user, mailbox, batch)

    def _texts(self, user: str, mailbox: str, batch: list[Answer]) -> Iterator[tuple[str, bytes]]:
        times = {message["uid"]: int(message["time"]) for message in batch}
        for one in self._ask({"user": user, "mailbox": mailbox, "uids": list(times)}).get("texts", ()):
            if one["uid"] in times:
                when = datetime.datetime.fromtimestamp(times.pop(one["uid"]), datetime.UTC)
                name = f"message of {when:%Y-%m-%d %H:%M} UTC to {user}"
                try:
                    content = base64.b64decode(one["text"])
                except binascii.Error:
                    content = b""
                yield name + _described(content), content

    def _ask(self, request: Answer) -> Answer:
        answer = remote.on_host(self, self._vars, "reports", request)
        if answer.get("failed"):
            raise Failed(answer)
        for note in answer.get("notes", ()):
            self._display.warning(note)
        return answer


def options(given: Mapping[str, t.Any]) -> tuple[list[str], str, str, int]:
    """Return the months, the folder, the file for JSON, the most messages; raises SiteError with all that is wrong."""
    problems = [
        Problem(name, None, f"is no option (known: {', '.join(_OPTIONS)})") for name in set(given) - {*_OPTIONS}
    ]
    wanted = parse(list[str], values.listed(given.get("month") or []), "reports_month", problems)
    if isinstance(wanted, list):
        wrong = [month for month in wanted if month is not None and not months.is_month(month)]
        problems += [Problem("reports_month", month, "must be a month, such as 2026-11") for month in wrong]
    folder, file = (parse(str, given.get(name) or "", f"reports_{name}", problems) for name in ("folder", "json"))
    if folder and not os.path.isdir(_place(folder)):
        problems.append(Problem("reports_folder", folder, "must be a folder on the controller"))
    if file and not os.path.isdir(os.path.dirname(_target(file))):
        problems.append(Problem("reports_json", file, "must be a file in a folder that is there, on the controller"))
    elif file and os.path.lexists(_target(file)) and not os.path.isfile(_target(file)):
        problems.append(Problem("reports_json", file, "must be a file, and no folder or device"))
    most = parse(int, given.get("most", 2000), "reports_most", problems)
    if isinstance(most, int) and most not in _MOST:
        problems.append(Problem("reports_most", most, f"must be from {_MOST[0]} to {_MOST[-1]}"))
    if problems:
        raise SiteError(problems)
    wanted = wanted or months.latest(datetime.datetime.now(datetime.UTC).date())
    return wanted, _place(folder), _target(file), most


def _place(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path)) if path else ""


def _target(path: str) -> str:
    """Return the file itself, where a link leads to it."""
    return os.path.realpath(_place(path)) if path else ""


def _addresses(site: Site) -> set[str]:
    return {str(address) for host in site.hosts.values() for address in host.addresses}


def _described(content: bytes) -> str:
    """Return what else names a message: its subject, as it stands there."""
    found = re.search(rb"^Subject:[ \t]*([^\r\n]{1,80})", content[:65536], re.IGNORECASE | re.MULTILINE)
    return f" ({found[1].decode('ascii', 'replace')})" if found else ""


def batches(messages: Iterable[Answer]) -> Iterator[tuple[str, str, list[Answer]]]:
    """Yield messages of one mailbox that are asked for at once, no more than a host's answer may hold."""

    def place(message: Answer) -> tuple[str, str]:
        return str(message["user"]), str(message["mailbox"])

    for (user, mailbox), group in itertools.groupby(sorted(messages, key=place), key=place):
        batch: list[Answer] = []
        for message in group:
            size = sum(one["size"] for one in batch) + message["size"]
            if batch and (size > _BATCH or len(batch) >= _TOGETHER):
                yield user, mailbox, batch
                batch = []
            batch.append(message)
        if batch:
            yield user, mailbox, batch


def _files(folder: str, most: int, tally: Tally, late: Callable[[], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a folder, until it is late: messages, or reports as they were attached."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        allowed = f"must be a folder that can be read: {error.strerror}"
        raise SiteError([Problem("reports_folder", folder, allowed)]) from None
    names = [name for name in names if os.path.isfile(os.path.join(folder, name))]
    tally.left_out.too_many += len(names[most:])
    for name in names[:most]:
        if late():
            tally.left_out.no_time += 1
            continue
        try:
            with open(os.path.join(folder, name), "rb") as file:
                content = file.read(unpack.MESSAGE + 1)
        except OSError as error:
            tally.note(name, f"cannot be read: {error.strerror}")
            continue
        if len(content) > unpack.MESSAGE:
            tally.left_out.too_large += 1
        else:
            yield name, content


def _write(path: str, data: Answer) -> None:
    """Write the data for the user alone; the file is whole at any time."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="ascii", dir=os.path.dirname(path), prefix=".new-", delete=False
        ) as file:
            try:
                json.dump(data, file, indent=1)
                file.write("\n")
                file.flush()
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise SiteError(
            [Problem("reports_json", path, f"must be a file that can be written: {error.strerror}")]
        ) from None
