# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Months, as 2026-11, and when their reports arrive."""

from __future__ import annotations

import datetime
import re

_LATE = 8  # days after a month in which reports on it still arrive


def latest(today: datetime.date) -> list[str]:
    """Return the former month and the present one."""
    first = today.replace(day=1)
    return [f"{first - datetime.timedelta(days=1):%Y-%m}", f"{first:%Y-%m}"]


def is_month(text: str) -> bool:
    return bool(re.fullmatch(r"20[0-9]{2}-(0[1-9]|1[0-2])", text))


def arrival(months: list[str]) -> tuple[str, str]:
    """Return between which days reports on these months arrive, as 2026-11-01; the second day is none of them."""
    first, last = (datetime.date.fromisoformat(f"{month}-01") for month in (min(months), max(months)))
    following = (last + datetime.timedelta(days=32)).replace(day=1)
    return f"{first - datetime.timedelta(days=1)}", f"{following + datetime.timedelta(days=_LATE)}"
