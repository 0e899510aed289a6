"""Greylisting with several exchangers: one remembers for all, and the others go on without it."""

from __future__ import annotations

import time

from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import smtp_rcpt
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import new_token
from ansible_collections.postamt.mail.tests.lib.letters import BEN
from ansible_collections.postamt.mail.tests.lib.ports import listening
from ansible_collections.postamt.mail.tests.lib.site import Ask, Connect, Outage, RunAgain
from ansible_collections.postamt.mail.tests.lib.waiting import within

MX = ("mx1.example.test", "mx2.example.test")
ON = {"mail_greylisting": True, "mail_greylisting_delay": 2, "postgrey_settings": {"auto-whitelist-clients": 0}}
PORT = 950


def answer(ask: Ask, mx: str, sender: str = "") -> int:
    """Return the code with which an exchanger answers a sender, by default one that has never written before."""
    return smtp_rcpt(ask(25, host=mx), sender or f"{new_token()}@outside.example", [BEN]).rcpt[BEN].code


def test_one_exchanger_remembers_for_all(connect: Connect, ask: Ask, play: RunAgain, outage: Outage) -> None:
    keeper = connect(MX[0])
    on = play(ON)
    assert not on.failed
    assert [task.host for task in on.tasks if "started postgrey.service" in task.result.get("actions", ())] == [MX[0]]
    for first, second in (MX, MX[::-1]):
        sender = f"{new_token()}@outside.example"
        assert answer(ask, first, sender) == 451
        until = time.monotonic() + 20
        while answer(ask, second, sender) != 250:
            assert time.monotonic() < until, f"{second} does not know whom {first} has sent away"
            time.sleep(0.5)
    assert PORT in listening(keeper) and PORT not in listening(connect(MX[1]))

    keeper.check_output("systemctl stop postgrey")
    assert [answer(ask, mx) for mx in MX] == [250, 250], "mail goes on without it"
    keeper.check_output("systemctl start postgrey")
    assert within(20, lambda: [answer(ask, mx) for mx in MX] == [451, 451], pause=0.5), "it does not answer again"
    outage(MX[0], "unplugged")
    assert answer(ask, MX[1]) == 250, "mail goes on without its host"
    outage(MX[0], "")

    off = play()
    assert not off.failed
    assert "stopped postgrey.service" in off.actions
    order = [task.action.rpartition(".")[2] for task in off.changed]
    assert order.count("postfix") == 2
    gone = {*order[len(order) - order[::-1].index("postfix") :]}
    assert gone == {"postgrey", "nftables", "haproxy"}, f"they go when no exchanger asks any more: {order}"
    assert [answer(ask, mx) for mx in MX] == [250, 250]
    assert PORT not in listening(keeper)
