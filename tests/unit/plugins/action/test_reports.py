# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The task that adds up reports, as a playbook runs it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.action import reports as action
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.readers import Readers
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.tally import Tally
from ansible_collections.postamt.mail.tests.lib import reports
from ansible_collections.postamt.mail.tests.lib.reports import dmarc, record, tls

GUID = "58f31620c4780a6ba9030000522ea783"
ADDRESSED = {"mail_dmarc_reports": "dmarc@example.test", "mail_tls_reports": "us@example.net"}


class Site:
    """One host, whose interpreter answers whatever it is told to; perhaps others beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports = folder / "reports"
        self.reports.mkdir()
        self.more: dict[str, t.Any] = {}
        self.others: dict[str, t.Any] = {}  # hosts by group

    def answers(self, **answer: t.Any) -> None:
        script = self.folder / "answer.sh"
        said = {"changed": False, "actions": [], "notes": [], **answer}
        (self.folder / "answer.json").write_text(json.dumps(said), encoding="utf-8")
        script.write_text(f"#!/bin/sh\necho asked >> {self.folder}/asked\ncat {self.folder}/answer.json\n")
        script.chmod(0o755)
        self.more["ansible_python_interpreter"] = str(script)

    def run(self, *options: str, **task: t.Any) -> subprocess.CompletedProcess[str]:
        said = {
            "mail_domains": ["example.test"], "mail_state_dir": str(self.folder / "state"), "mail_accounts": [],
            "ansible_connection": "local", "ansible_become": False, **self.more,
        }  # fmt: skip
        hosts = {"mail.example.test": {"mail_host_addresses": ["192.0.2.25"]}}
        inventory: dict[str, t.Any] = {"mail": {"hosts": hosts, "vars": said}}
        if self.others:
            groups = {
                name: {"hosts": hosts} for name in ("mail_store", "mail_submission", "mail_directory", "mail_filter")
            }
            groups |= {name: {"hosts": more} for name, more in self.others.items()}
            inventory["mail"] = {"children": groups, "vars": said}
        play = {"hosts": "mail", "gather_facts": False, "tasks": [{"postamt.mail.reports": task}]}
        (self.folder / "hosts.yml").write_text(json.dumps(inventory), encoding="utf-8")
        (self.folder / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
        command = ["ansible-playbook", "-i", str(self.folder / "hosts.yml"), *options, str(self.folder / "play.yml")]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_files_of_a_folder(site: Site) -> None:
    unknown = record("198.51.100.7", 12, "fail", "fail")
    for name, content in {
        "a.eml": reports.by_google(dmarc(record(count=3), unknown)),
        "b.zip": reports.zipped(dmarc(number="4712")),
        "c.json": tls(),
        "d.xml.gz": b"\x1f\x8b\x1b[31m",
        ".hidden": b"\x1f\x8b",
        "e": b"x" * ((10 << 20) + 1),
    }.items():
        (site.reports / name).write_bytes(content)
    (site.reports / "f").symlink_to(site.folder / "nowhere")
    (site.reports / "g").mkdir()
    file = site.folder / "reports.json"
    task = {"folder": str(site.reports), "json": str(file), "month": "2026-11"}
    checked = site.run("--check", **task)
    assert checked.returncode == 0 and not file.exists()
    done = site.run(**task)
    assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout
    for words in (
        "DMARC, example.test: 16 messages, 4 passed, 12 failed", "198.51.100.7", "TLS, example.test: 10 sessions",
        "3 reports read", "Left out:\n       1  messages that are too large",
        "  d.xml.gz\n    has a gzip file that is damaged",
    ):  # fmt: skip
        assert words in done.stdout, done.stdout
    assert "hidden" not in done.stdout
    data = json.loads(file.read_text(encoding="utf-8"))
    assert [one["own"] for one in data["months"]["2026-11"]["example.test"]["dmarc"]["sources"]] == [False, True]
    assert not (site.folder / "asked").exists()


def test_messages_of_a_mailbox(site: Site) -> None:
    message = {"user": "dmarc@example.test", "mailbox": GUID, "uid": 7, "size": 900, "time": "1793866400"}
    content = reports.by_yahoo(dmarc(record(count=3)))
    broken = b"Subject: Report \x1b[31m\nContent-Type: application/zip\n\nx"
    texts = [{"uid": uid, "text": base64.b64encode(text).decode()} for uid, text in ((7, content), (8, broken))]
    site.more = dict(ADDRESSED)
    site.answers(
        messages=[message, {**message, "uid": 8}, {**message, "uid": 9, "size": 11 << 20}], more=4,
        texts=[*texts, {"uid": 10, "text": ""}], notes=["a note"],
    )  # fmt: skip
    done = site.run(month=["2026-11"])
    assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout
    for words in (
        "reports go to us@example.net, which is no mailbox of the site", "[WARNING]: a note", "3 messages, 3 passed",
        "1 messages that are too large", "4 messages beyond the most that are read", "1 report read",
        "message of 2026-11-05 08:13 UTC to dmarc@example.test (Report ?[31m) has an attachment that is neither",
    ):  # fmt: skip
        assert words in " ".join(done.stdout.split()), done.stdout
    assert (site.folder / "asked").read_text().count("asked") == 2


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"messages": [], "more": 0, "ansible_facts": {"mail_domains": []}}, "ansible_facts is no key"),
        ({"messages": [{"uid": 1}], "more": 0}, "messages[0].user is missing"),
        ({"messages": [], "more": "x"}, "more must be a whole number"),
        ({"texts": [{"uid": 1, "text": "\x1b"}]}, "texts[0].text must be packed data"),
        ({"failed": True, "msg": "reports: no doveadm"}, "reports: no doveadm"),
    ],
)
def test_a_host_answers_what_it_may(site: Site, answer: dict[str, t.Any], sentence: str) -> None:
    site.more = dict(ADDRESSED)
    site.answers(**answer)
    done = site.run()
    assert done.returncode and sentence in done.stdout, done.stdout


def test_without_an_address_nobody_is_asked(site: Site) -> None:
    site.answers()
    done = site.run()
    assert "mail_dmarc_reports: is not set, nor is mail_tls_reports: nobody is asked to send reports" in done.stdout
    assert done.returncode and not (site.folder / "asked").exists()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"month": "2026-13"}, "reports_month is '2026-13': must be a month, such as 2026-11"),
        ({"month": ["2026-11", "11"]}, "reports_month is '11': must be a month"),
        ({"month": {"a": 1}}, "reports_month is {'a': 1}: must be a list"),
        ({"folder": "/nowhere"}, "reports_folder is '/nowhere': must be a folder on the controller"),
        ({"json": "/nowhere/x.json"}, "reports_json is '/nowhere/x.json': must be a file in a folder that is there"),
        ({"most": 0}, "reports_most is 0: must be from 1 to 100000"),
        ({"most": "many"}, "reports_most is 'many': must be a whole number"),
        ({"months": "2026-11"}, "months: is no option (known: month, folder, json, most)"),
    ],
)
def test_wrong_options_are_named(given: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(SiteError) as error:
        action.options(given)
    assert sentence in str(error.value)


def test_a_run_without_the_mailboxes_says_so(site: Site) -> None:
    site.others = {"mail_mx": {"mx.example.test": {"mail_host_addresses": ["192.0.2.26"]}}}
    task = {"folder": str(site.reports), "month": "2026-11"}
    sentence = "no reports are read: the run is limited to hosts without mail.example.test"
    limited, whole = site.run("--limit", "mx.example.test", **task), site.run(**task)
    assert limited.returncode == 0 and sentence in " ".join(limited.stdout.split()), limited.stdout
    assert whole.returncode == 0 and "0 reports read" in whole.stdout and "no reports are" not in whole.stdout


def test_what_cannot_take_the_data_is_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "fifo")
    for name in ("/dev/null", "/dev/stdout/x", str(tmp_path), str(tmp_path / "fifo"), str(tmp_path / "link")):
        with pytest.raises(SiteError) as error:
            action.options({"json": name})
        assert f"reports_json is '{name}': must be a file" in str(error.value)


def test_the_data_is_written_at_once_and_for_its_owner(tmp_path: Path) -> None:
    old, link, folder = tmp_path / "old", tmp_path / "link", tmp_path / "folder"
    old.write_text("old", encoding="utf-8")
    link.symlink_to(old)
    folder.mkdir()
    action._write(action.options({"json": str(link)})[2], {"a": "\u202e"})
    assert old.read_text(encoding="utf-8") == '{\n "a": "\\u202e"\n}\n' and link.is_symlink()
    assert old.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SiteError, match="must be a file that can be written: Is a directory"):
        action._write(str(folder), {})
    assert {one.name for one in tmp_path.iterdir()} == {"old", "link", "folder"}


def test_a_folder_that_goes_away(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="reports_folder is .*: must be a folder that can be read: No such file"):
        list(action._files(str(tmp_path / "gone"), 5, Tally([], set(), []), lambda: False))


def test_when_it_is_late_nothing_more_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(dmarc())
    tally = Tally(["example.test"], set(), ["2026-11"])
    assert len(list(action._files(str(tmp_path), 2, tally, lambda: bool(tally.read)))) == 2
    late = iter([False, True, True])
    assert [name for name, _content in action._files(str(tmp_path), 3, tally, lambda: next(late))] == ["a"]
    assert (tally.left_out.no_time, tally.left_out.too_many) == (2, 1)

    asked = []
    message = {"user": "a", "mailbox": GUID, "size": 6 << 20, "time": "1793866400"}

    def answer(_task: t.Any, request: dict[str, t.Any]) -> dict[str, t.Any]:
        asked.append(request)
        if "uids" not in request:
            return {"messages": [{**message, "uid": uid} for uid in (1, 2, 3)]}
        return {"texts": [{"uid": uid, "text": ""} for uid in request["uids"]]}

    monkeypatch.setattr(action.ActionModule, "_ask", answer)
    monkeypatch.setattr(action, "readers", lambda _site: Readers({"mail_dmarc_reports": "a"}, ["a"], []))
    task, late = object.__new__(action.ActionModule), iter([False, True, True])
    found = list(task._messages(t.cast(t.Any, None), ["2026-11"], 9, tally, lambda: next(late)))
    assert len(found) == 1 and [one["uids"] for one in asked if "uids" in one] == [[1]]
    assert tally.left_out.no_time == 4


def test_several_months_on_the_command_line() -> None:
    assert action.options({"month": "2026-10,2026-11", "most": "5"}) == (["2026-10", "2026-11"], "", "", 5)
    assert len(action.options({"most": 2000})[0]) == 2


def test_batches() -> None:
    def message(uid: int, size: int, mailbox: str = GUID) -> dict[str, t.Any]:
        return {"user": "a", "mailbox": mailbox, "uid": uid, "size": size, "time": "1"}

    big = 5 << 20
    found = action.batches([message(1, big), message(2, 9, "b"), message(3, big), message(4, big // 2)])
    assert [[one["uid"] for one in batch] for _user, _mailbox, batch in found] == [[1], [3, 4], [2]]
    assert [len(batch) for *_place, batch in action.batches(message(n, 1) for n in range(450))] == [200, 200, 50]
