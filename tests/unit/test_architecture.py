# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The worked examples of docs/architecture.md do what the page says."""

from __future__ import annotations

import re
import sys
import textwrap
import types
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import hook_registry, hooks
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program as HostProgram
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host, HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    Milter,
    PolicyService,
    Postfix,
    Service,
    text_of,
)
from ansible_collections.postamt.mail.tools import generate

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
NAME = "mail.example.org"


def examples(heading: str) -> list[str]:
    """Return the blocks of code below a heading."""
    section = PAGE[PAGE.index(f"### Worked example: {heading}") :].partition("\n### ")
    below = "".join(section)[4:].partition("\n### ")[0]
    found = re.findall(r"(?:^    .*\n|^\n(?=(?:\n)*    ))+", below, re.MULTILINE)
    assert found
    return [textwrap.dedent(block) for block in found]


def example(heading: str, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Return the first block of code below a heading, as a module."""
    module = types.ModuleType("greeting")
    vars(module).update(Site=Site, Host=Host, Postfix=Postfix, Milter=Milter, PolicyService=PolicyService)
    return run(examples(heading)[0], module, monkeypatch)


def run(code: str, module: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where imports and dataclasses look for it
    exec(compile(code, "architecture.md", "exec"), vars(module))
    return module


@pytest.fixture
def concern(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    found = example("add a concern", monkeypatch)
    concerns = {**compose.concerns(), "greeting": found}
    monkeypatch.setattr(compose, "concerns", lambda: concerns)
    return found


def greeting(**variables: object) -> object:
    given = {"mail_domains": ["example.org"], **variables}
    site = parse_site(given, {NAME: HostInput()}, compose.concerns().values())
    host = site.hosts[NAME]
    return postfix.services_of(compose.contributions("postfix", site, host))["smtp/inet"].options.get("smtpd_banner")


def test_the_concern_contributes_what_it_says(concern: types.ModuleType) -> None:
    assert greeting() is None
    assert greeting(mail_greeting="NO UCE") == "$myhostname ESMTP NO UCE"
    with pytest.raises(SiteError, match=r"mail_greeting is '\$x': must be printable ASCII without \$"):
        greeting(mail_greeting="$x")


def test_the_milter_and_the_policy_service_are_asked_about_their_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    site = parse_site({"mail_domains": ["example.org"]}, {NAME: HostInput()}, compose.concerns().values())
    host = site.hosts[NAME]
    said: Postfix = example("add a milter or a policy service", monkeypatch).postfix(site, host)
    parts = [*compose.contributions("postfix", site, host), ("greeting", said)]
    main, services = postfix.configuration(host, parts, {})

    def at(service: Service, name: str) -> str:
        return text_of(service.options.get(name, main.get(name, "")))

    assert "8891" in at(services["smtp/inet"], "smtpd_milters")
    assert "8891" not in at(services["submission/inet"], "smtpd_milters")
    assert "10023" in at(services["smtp/inet"], "smtpd_recipient_restrictions")
    assert "10023" not in text_of(main["mua_recipient_restrictions"])


def test_the_program_runs_where_its_concern_contributes(monkeypatch: pytest.MonkeyPatch) -> None:
    own, contributing, on_host = examples("add a program")
    package = "ansible_collections.postamt.mail.plugins"
    program = run(own, types.ModuleType(f"{package}.plugin_utils._programs.dnsmasq"), monkeypatch)
    concern = run(contributing, types.ModuleType("dns_cache"), monkeypatch)
    programs, concerns = {**compose.programs(), "dnsmasq": program}, {**compose.concerns(), "dns_cache": concern}
    monkeypatch.setattr(compose, "programs", lambda: programs)
    monkeypatch.setattr(compose, "concerns", lambda: concerns)

    def plan(settings: dict[str, object] | None = None, **said: object) -> compose.Plan:
        site = parse_site({"mail_domains": ["example.org"], **said}, {NAME: HostInput()}, concerns.values())
        return compose.plan("dnsmasq", site, site.hosts[NAME], {"settings": settings})

    wanted = plan({"cache-size": 500}, mail_dns_cache=True)
    file, drop_in = wanted["files"]
    assert "\nbind-interfaces\ncache-size=500\nlisten-address=127.0.0.1\nport=53\n" in file["content"]
    assert drop_in["path"] == "/etc/systemd/system/dnsmasq.service.d/postamt-sandbox.conf"
    assert "[Service]\n" in drop_in["content"] and "\nProtectSystem=full\n" in drop_in["content"]
    assert wanted["packages"] == ["dnsmasq"]
    assert wanted["units"] == [{"name": "dnsmasq.service", "running": True}]
    assert wanted["questions"] == [{"kind": "listens", "arguments": {"port": 53, "address": "127.0.0.1"}}]
    assert "\nport=53\n" not in plan({"port": False}, mail_dns_cache=True)["files"][0]["content"]
    assert plan({"port": None}, mail_dns_cache=True)["questions"] == wanted["questions"]
    assert plan()["units"] == [] and not plan()["wanted"]

    order = list(compose.ordered())
    assert order.index("nftables") < order.index("dnsmasq") < order.index("ldap")
    role = generate.role("dnsmasq", program.PROGRAM)
    assert 'settings: "{{ dnsmasq_settings }}"' in role["tasks/main.yml"]
    assert "when: \"'dnsmasq' in __mail_site.due[inventory_hostname]\"" in generate.tasks(compose.ordered())

    code = run(on_host, types.ModuleType("dnsmasq_on_host"), monkeypatch)
    monkeypatch.setattr(hook_registry, "code_of", {"dnsmasq": code}.get)
    assert hooks.of("dnsmasq") is code.Dnsmasq and hooks.of("other") is HostProgram
