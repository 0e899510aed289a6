# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts of every odd form that the model accepts.

As a program it prints them: what hypothesis makes depends on the modules that a process has loaded, too, and the
accounts of a scenario should be the same wherever it runs.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.postamt.mail.plugins.plugin_utils._model import schema, value_types
from ansible_collections.postamt.mail.plugins.plugin_utils._model.account_rules import PASSWORD_BYTES
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MOST = 16  # accounts; each logs in over SMTP once, of the 60 times that a client may in a minute

local = st.text(st.sampled_from(value_types.LOGIN_LETTERS.replace("@", "")), min_size=1, max_size=64)
local |= st.just("x" * 64)
local = local.filter(lambda text: not re.search(r"\{[{%#]", text))  # which Ansible takes for a template
address = local.map(lambda text: f"{text}@example.test")
# no template of Ansible's, and no tab, which the model refuses beside the types
word = st.text(min_size=10, max_size=PASSWORD_BYTES).filter(
    lambda text: len(text.encode("utf-8", "replace")) <= PASSWORD_BYTES and not {"{", "\t"} & {*text}
)
word |= st.sampled_from(["x" * PASSWORD_BYTES, "ä" * (PASSWORD_BYTES // 2)])
name = st.text(max_size=30).filter(lambda text: "{" not in text)
accounts = st.fixed_dictionaries(
    {"address": address, "password": word, "aliases": st.lists(address, min_size=1, max_size=1)},
    optional={"name": name, "quota": st.integers(20, 10**9).map(lambda size: f"{size}M")},
)


def batch() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    used: set[str] = set()

    @settings(
        max_examples=12000, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(accounts)
    def collect(one: dict[str, Any]) -> None:
        if len(found) == MOST:
            return
        problems: list[schema.Problem] = []
        account = schema.parse(Account, one, "account", problems)
        words = {account.address, *account.aliases, account.password} if not problems else set()
        if len(words) == 3 and not words & used:
            used.update(words)
            found.append(one)

    collect()
    return found


if __name__ == "__main__":
    print(json.dumps(batch()))
