# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is asked of hosts."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._run import remote


def test_a_clock_may_differ_by_as_much_as_the_answer_took() -> None:
    assert remote.ahead(1000, 1001.0, 1001.5) == remote.ahead(1010, 1001.0, 1008.0) == 0
    assert remote.ahead(1600, 1000.0, 1002.0) == 599
    assert remote.ahead(400, 1000.0, 1002.0) == -601
    (said,) = remote.wrong_clocks({"a": {"clock": 0}, "b": {"clock": -601}, "c": {}})
    assert said.startswith("b's clock is 601 seconds behind this controller's")
