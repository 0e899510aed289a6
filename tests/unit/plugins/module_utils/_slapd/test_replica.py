# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What replicas go by."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.module_utils._slapd import replica


def test_a_clock_that_is_behind_the_last_change_is_named() -> None:
    change, then = "20261127003000.123456Z#000000#000#000000", 1795739400.0
    assert replica.late(change, then) == replica.late(change, then - 2) == replica.late("", 0) == ""
    assert replica.late(change, then - 600).startswith("the clock here is 600 seconds behind the directory's last")
