# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mail with TLS-Required: No: servers of the administrator are verified for it, too, before a password goes there."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import text_of
from ansible_collections.postamt.mail.tests.lib.looks import looked

RELAYED = {"mail_relayhost": {"host": "smtp.example.net", "username": "u", "password": "p"}}
HOST, CLIENT = "mail.example.org", "web.example.org"


def heeds_header(name: str, release: str, **said: Any) -> str:
    look = looked(release=release)
    hosts = {HOST: HostInput(look=look), CLIENT: HostInput(("mail", "mail_client"), look=look)}
    hosts[HOST] = HostInput(("mail", "mail_mx", "mail_submission", "mail_store", "mail_directory"), look=look)
    site = parse_site({"mail_domains": ["example.org"], **said}, hosts, compose.concerns().values())
    host = site.hosts[name]
    main, _services = postfix.configuration(host, compose.contributions("postfix", site, host), {})
    return text_of(main["tls_required_enable"]) if "tls_required_enable" in main else ""


@pytest.mark.parametrize(("name", "said"), [(HOST, RELAYED), (CLIENT, {})])
def test_a_server_that_gets_a_password_is_verified_for_all_mail(name: str, said: dict[str, Any]) -> None:
    assert heeds_header(name, "trixie", **said) == "no"
    assert heeds_header(name, "bookworm", **said) == ""  # Postfix 3.7 does not know the header


def test_a_sender_may_ask_servers_of_the_world_for_less() -> None:
    assert heeds_header(HOST, "trixie") == ""
