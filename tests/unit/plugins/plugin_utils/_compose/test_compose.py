# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which concerns are asked for a host's programs, and which programs run there."""

from __future__ import annotations

import dataclasses
import types
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot

GROUPS = {"mx.example.org": ["mail_mx"], "store.example.org": ["mail_store"]}


@pytest.fixture
def site() -> Site:
    inputs = {name: HostInput(["mail", *groups]) for name, groups in GROUPS.items()}
    return parse_site({"mail_domains": ["example.org"]}, inputs, compose.concerns().values())


def concern(**said: t.Any) -> types.ModuleType:
    made = types.ModuleType("made")
    vars(made).update(said)
    return made


def asked(
    monkeypatch: pytest.MonkeyPatch, site: Site, program: str, host: str, **concerns: types.ModuleType
) -> list[str]:
    """Return which concerns contribute to a program of a host."""
    with monkeypatch.context() as patch:
        patch.setattr(compose, "concerns", lambda: concerns)
        return [name for name, _part in compose.contributions(program, site, site.hosts[host])]


def test_a_concern_contributes_where_it_applies(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    one = concern(postfix=lambda site, host: Postfix(), applies=lambda site, host: host.has("mail_submission"))
    two = concern(postfix=lambda site, host: Postfix(), applies=lambda site, host: False)
    assert asked(monkeypatch, site, "postfix", "mx.example.org", one=one, two=two) == ["one"]


def test_a_program_runs_where_one_concern_says(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    """The others need not know: what they would add to a program that does not run is dropped."""
    store = concern(RUNS=("dovecot",), applies=lambda site, host: host.has("mail_store"), dovecot=lambda *_: Dovecot())
    more = concern(dovecot=lambda *_: Dovecot())
    assert asked(monkeypatch, site, "dovecot", "store.example.org", more=more, store=store) == ["more", "store"]
    assert asked(monkeypatch, site, "dovecot", "mx.example.org", more=more, store=store) == []


def test_hosts_that_hand_their_mail_on_have_no_more_than_they_need(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    usual = concern(postfix=lambda *_: Postfix())
    everywhere = concern(postfix=lambda *_: Postfix(), EVERYWHERE=("postfix",))
    concerns = {"everywhere": everywhere, "usual": usual}
    assert asked(monkeypatch, site, "postfix", "mx.example.org", **concerns) == ["everywhere", "usual"]
    assert asked(monkeypatch, site, "postfix", "store.example.org", **concerns) == ["everywhere"]


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ({"RUNS": ("dovecto",)}, {}, "concern one: RUNS or EVERYWHERE names dovecto, to which it contributes nothing"),
        ({"EVERYWHERE": ("postfix",)}, {}, "concern one: RUNS or EVERYWHERE names postfix, to which it contributes"),
        (
            {"RUNS": ("dovecot",), "dovecot": print},
            {"RUNS": ("dovecot",), "dovecot": print},
            "concerns one and two both say where dovecot runs",
        ),
    ],
)
def test_what_a_concern_says_of_programs_is_checked(
    monkeypatch: pytest.MonkeyPatch, one: dict[str, t.Any], two: dict[str, t.Any], said: str
) -> None:
    programs = compose.programs()
    found = {"one": concern(**one), "two": concern(**two)}
    monkeypatch.setattr(compose, "_modules", lambda folder: programs if folder == "_programs" else found)
    with pytest.raises(ComposeError, match=said.replace("(", r"\(")):
        compose.concerns.__wrapped__()


def test_each_program_has_a_place_where_it_runs(site: Site) -> None:
    """No program of the collection is wanted on a host that does nothing for it."""
    wanted = {
        name: {program for program in compose.programs() if compose.plan(program, site, host)["wanted"]}
        for name, host in site.hosts.items()
    }
    assert wanted == {
        "mx.example.org": {
            "certificates",
            "haproxy",
            "mta_sts_resolver",
            "nftables",
            "postfix",
            "postsrsd",
            "rspamd",
            "sasl",
            "unbound",
        },
        "store.example.org": {"certificates", "dovecot", "haproxy", "ldap", "nftables", "postfix"},
    }


def test_a_variable_has_one_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass
    class Variables:
        mail_foo: bool = True

    found = {name: concern(Variables=Variables) for name in ("one", "two")}
    programs = compose.programs()
    monkeypatch.setattr(compose, "_modules", lambda folder: programs if folder == "_programs" else found)
    with pytest.raises(ComposeError, match="concerns one and two both have variable mail_foo"):
        compose.concerns.__wrapped__()
