# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is said of changed entries and passwords."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Change
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report
from ansible_collections.postamt.mail.plugins.module_utils._slapd import fill, offline
from ansible_collections.postamt.mail.plugins.module_utils._slapd.entries import EntryRequest, Verb
from ansible_collections.postamt.mail.plugins.module_utils._slapd.run import Record, Run


@pytest.fixture
def run(change: Change, record: Record) -> Run:
    return Run(change, record, offline.Files())


def request(verb: Verb, kind: str, name: str) -> EntryRequest:
    return EntryRequest(verb, kind, name, f"cn={name}", None, {})


def test_one_sentence_a_verb_and_kind(run: Run) -> None:
    fill._tell(
        run,
        [
            request("add", "branch", "o=mail"),
            request("add", "branch", "ou=aliases,o=mail"),
            request("add", "alias", "a@example.org"),
            request("add", "alias", "b@example.org"),
            request("change", "policy", "passwords"),
            request("change", "policy", "others"),
            request("disable", "account", "c@example.org"),
        ],
    )
    assert run.report.actions == [
        "added the directory's root and branches below o=mail",
        "added 2 aliases: a@example.org, b@example.org",
        "changed 2 policies: passwords, others",
        "disabled account: c@example.org",
    ]


def test_passwords_that_are_not_at_hand_are_asked_for(run: Run) -> None:
    assert fill.set_passwords(run, ["a@example.org", "service:postfix"], {}) == ["a@example.org", "service:postfix"]
    assert not run.report.changed


def test_check_mode_asks_for_no_password(change: Change, record: Record) -> None:
    run = Run(dataclasses.replace(change, report=Report(dry=True)), record, offline.Files())
    assert fill.set_passwords(run, ["a@example.org"], {}) == []
    assert run.report.actions == ["would set the password of a@example.org"]
