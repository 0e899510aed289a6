# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a site means for a program, as data and without a secret."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.postamt.mail.plugins.filter.plans import dovecot_settings, ldap_entries, postfix_settings

NAME = "mail.example.org"
SITE = {
    "mail_domains": ["example.org"],
    "mail_accounts": [{"address": "alice@example.org", "password": "open-sesame-1"}],
    "ansible_host": "192.0.2.1",
}


def test_settings_are_data() -> None:
    postfix = postfix_settings(SITE, NAME)
    assert postfix["smtpd_relay_restrictions"] == ["permit_mynetworks", "reject_unauth_destination"]
    assert postfix["smtpd_sasl_auth_enable"] is False and postfix["virtual_mailbox_limit"] == 0
    new, old = dovecot_settings(SITE, NAME), dovecot_settings(SITE, NAME, "bookworm")
    assert new["passdb ldap"]["bind"] is True and new["protocols"]["imap"] is True
    assert old["passdb"]["driver"] == "ldap" and "imap" in old["protocols"].split()
    assert ldap_entries(SITE, NAME)["domains"] == ["example.org"]


def test_no_secret_is_in_them() -> None:
    assert dovecot_settings(SITE, NAME)["ldap_auth_dn_password"] == "(hidden)"
    shown = f"{dovecot_settings(SITE, NAME)} {postfix_settings(SITE, NAME)} {ldap_entries(SITE, NAME)}"
    assert "open-sesame-1" not in shown


def test_wrong_variables_are_named() -> None:
    with pytest.raises(AnsibleFilterError, match=r"mail_domains\[0\] is 'example\.\.org': must be a domain name"):
        postfix_settings({"mail_domains": ["example..org"]}, NAME)


def test_accounts_of_the_system_are_no_entries() -> None:
    system = {"mail_domains": ["example.org"], "mail_accounts_backend": "system"}
    with pytest.raises(AnsibleFilterError, match="ldap_entries: these accounts are in no directory"):
        ldap_entries(system, NAME)
    assert dovecot_settings(system, NAME)["passdb pam"] == {"service_name": "postamt"}
