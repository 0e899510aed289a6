# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When amavis has to be started anew."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._programs.amavis import MAIN, Amavis
from ansible_collections.postamt.mail.tests.lib.described import described

SOCKETS = {"$inet_socket_port": "[10024, 9998]", "@listen_sockets": "('/run/a;b')"}
THERE = """\
use strict;
$final_virus_destiny = D_REJECT;
$inet_socket_port = [10024, 9998];
@listen_sockets = ('/run/a;b');
1;
"""


@pytest.mark.parametrize(
    ("there", "restart"),
    [
        (THERE, False),
        (THERE.replace("D_REJECT", "D_PASS"), False),
        (THERE.replace("9998", "9999"), True),
        (THERE.replace("@listen_sockets", "# @listen_sockets"), True),
        (None, True),
    ],
)
def test_other_sockets_need_a_restart(there: str | None, restart: bool) -> None:
    program = Amavis(described("amavis"))
    program.plan = {"sockets": SOCKETS}
    assert program.needs_restart({MAIN: there}, {MAIN: "what the plan has"}) == restart
    assert not program.needs_restart({"/x": there}, {"/x": ""})
