# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of saslauthd."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import sasl
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.sasl import Sasl

LDAP = Sasl({"ldap_servers": "ldap://127.0.0.1", "ldap_password": "s3cret", "ldap_tls_cacert_file": "/ca.pem"})


def plan(parts: list[tuple[str, Sasl]], settings: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
    site = parse_site({"mail_domains": ["example.org"]}, {"mx.example.org": HostInput()})
    return sasl.plan(site, site.hosts["mx.example.org"], parts, {"settings": settings})


def test_ldap() -> None:
    found = plan([("accounts", LDAP)], {"ldap_timeout": 3, "ldap_start_tls": True})
    configuration, unit = found["files"]
    assert configuration["mode"] == "0600"
    assert configuration["secret"]
    assert "ldap_timeout: 3\n" in configuration["content"]
    assert "ldap_start_tls: yes\n" in configuration["content"]
    assert f"-a ldap -r -m {sasl.FOLDER} -n 5 -O {sasl.CONFIGURATION}\n" in unit["content"]
    assert found["secrets"] == ["s3cret"]
    assert found["watch"] == ["/ca.pem"]
    assert found["units"] == [{"name": sasl.UNIT, "running": True}]
    assert "\nAlias=saslauthd.service\n" in unit["content"]
    assert found["directories"][-1] == {"path": sasl.FOLDER, "mode": "0710", "owner": "root", "group": "postfix"}


def test_not_wanted_without_submission() -> None:
    hosts = {"store.example.org": HostInput(["mail_store"]), "mx.example.org": HostInput(["mail_mx"])}
    site = parse_site({"mail_domains": ["example.org"]}, hosts)
    found = sasl.plan(site, site.hosts["store.example.org"], [("accounts", LDAP)], {})
    assert not found["wanted"]
    assert not any(unit["running"] for unit in found["units"])


def test_unknown_setting() -> None:
    with pytest.raises(ComposeError, match="ldap_serves is no setting of saslauthd; did you mean ldap_servers"):
        plan([("a", LDAP)], {"ldap_serves": "x"})
