# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is remembered of TLSA records between runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._model.exchangers import Known
from ansible_collections.postamt.mail.plugins.plugin_utils._run import stored_tlsa
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import Answer
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError

A, B, NAME, OWNER = "a" * 64, "b" * 64, "mail.example.org", "_25._tcp.mail.example.org"


def found(*digests: str, ttl: int = 0) -> Answer:
    return Answer(OWNER, "TLSA", "found", tuple(f"3 1 1 {one}" for one in digests), ttl)


def test_a_record_counts_from_the_first_time_that_it_was_there() -> None:
    first = stored_tlsa.after(Known(), [A], found(A), 60, 1000)
    assert first == Known(frozenset([A]), {A: 1000}, 60)
    second = stored_tlsa.after(first, [A, B], found(A, B, ttl=600), 60, 2000)
    assert second == Known(frozenset([A, B]), {A: 1000, B: 2000}, 600)
    third = stored_tlsa.after(second, [B], found(B), 60, 3000)
    assert third == Known(frozenset([B]), {B: 2000}, 600)


def test_what_has_gone_counts_anew_and_what_nobody_could_say_changes_nothing() -> None:
    known = Known(frozenset([A]), {A: 1000}, 60)
    assert stored_tlsa.after(known, None, Answer(OWNER, "TLSA", "unknown"), 60, 2000) == known
    gone = stored_tlsa.after(known, None, Answer(OWNER, "TLSA", "none"), 60, 2000)
    assert gone == Known(frozenset([A]), {}, 60)
    assert stored_tlsa.after(gone, None, found(A), 60, 3000).shown == {A: 3000}


def test_what_left_the_zone_and_comes_back_counts_anew() -> None:
    both = Known(frozenset([A, B]), {A: 1000, B: 1000}, 60)
    left = stored_tlsa.after(both, [A], found(A, B), 60, 2000)  # by a resolver that remembers B
    assert left.usable(3000) == [A]
    nobody = Answer(OWNER, "TLSA", "unknown")
    back = stored_tlsa.after(stored_tlsa.after(left, [A, B], nobody, 60, 3000), [A, B], found(A, B), 60, 3000)
    assert back.shown == {A: 1000, B: 3000}


def test_records_of_other_forms_are_no_keys() -> None:
    answer = Answer(OWNER, "TLSA", "found", (f"2 1 1 {A}", f"3 1 1 {B.upper()}", "3 1 1 zz"))
    assert stored_tlsa.after(Known(), [], answer, 60, 1).shown == {B: 1}


def test_it_is_kept_in_the_state_folder(tmp_path: Path) -> None:
    state = State(str(tmp_path / "state"))
    assert stored_tlsa.read(state) == {}
    assert stored_tlsa.remember(state, lambda before: before) == {}
    assert not (tmp_path / "state").exists()
    known = {NAME: Known(frozenset([A]), {B: 5}, 60)}
    assert stored_tlsa.remember(state, lambda _before: known) == known
    assert stored_tlsa.read(state) == known


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"mail": {}}',
        '{"mail": {"told": ["x"], "shown": {}, "ttl": 1}}',
        json.dumps({"mail": {"told": [], "shown": {A: "1"}, "ttl": 1}}),
        json.dumps({"mail": {"told": [], "shown": {A: -1}, "ttl": 1}}),
        '{"mail": {"told": [], "shown": {}, "ttl": true}}',
        json.dumps({"mail": {"told": 5, "shown": {}, "ttl": 1}}),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / stored_tlsa.FILE).write_text(text)
    with pytest.raises(StateError, match="tlsa.json is damaged: restore it from the backup of the folder"):
        stored_tlsa.read(State(str(tmp_path)))
