# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entries, and how a request that changes one is shown."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.module_utils._slapd import entries

ANNA, BEN = "anna@example.org", "ben@example.org"


def test_lines_of_a_diff_hold_what_differs_and_no_password() -> None:
    before = {"mail": [ANNA], "mailQuota": ["1"], "userPassword": ["x"]}
    change = entries.EntryRequest(
        "change", "account", ANNA, "dn", before, {**before, "mailQuota": ["2"], "userPassword": ["y"]}
    )
    assert change.lines(before) == [f"account {ANNA}: mailQuota: 1"]
    new = entries.EntryRequest("add", "account", ANNA, "dn", None, before)
    assert not any("userPassword" in line for line in new.lines(before))


def test_names() -> None:
    assert entries.names(["a", "b"]) == "a, b"
    assert entries.names("abcdefg") == "a, b, c, d, e and 2 more"


def test_what_is_not_said_of_an_account_stays() -> None:
    have = entries.account_attributes(ANNA, {"aliases": ["a@example.org"], "forward": [BEN], "keep_copy": True}, {})
    assert have["cn"] == ["anna"]
    assert have["mailAlias"] == ["a@example.org", ANNA]
    assert entries.account_attributes(ANNA, {}, have) == have
    plain = entries.account_attributes(ANNA, {"forward": [], "name": "Anna B"}, have)
    assert plain == {"cn": ["Anna B"], "sn": ["B"], "mailAlias": ["a@example.org"], "mailForwardingAddress": []}
