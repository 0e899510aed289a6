# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a site to its signer: what Rspamd gets, and which mail Postfix shows it under which name."""

from __future__ import annotations

import json
import re
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.tests.lib.bare import BARE
from ansible_collections.postamt.mail.tests.lib.looks import looked

NAME = "mail.example.org"
SIGNER = "{ unix:rspamd/milter.sock, default_action=tempfail }"
GROUPS = {
    "in.example.org": ["mail", "mail_mx"],
    "out.example.org": ["mail", "mail_submission"],
    "filter.example.org": ["mail", "mail_filter"],
    "store.example.org": ["mail", "mail_store"],
    "app.example.org": ["mail", "mail_client"],
}


def site(groups: dict[str, list[str]] | None = None, **variables: t.Any) -> Site:
    given = {"mail_domains": ["example.org", "example.net"], "mail_authentication": False, **variables}
    look = looked(memory=8 << 30, cores=2, swap=0)
    inputs = {name: HostInput(mine, look=look) for name, mine in (groups or {NAME: ["mail"]}).items()}
    return parse_site(given, inputs, compose.concerns().values())


def plan(program: str, of: Site, overrides: t.Any = None, name: str = NAME) -> t.Any:
    return compose.plan(program, of, of.hosts[name], overrides or {})


def section(found: t.Any, name: str) -> t.Any:
    """Return a section of Rspamd's configuration."""
    text = next(forms.text(item) for item in found["files"] if item["path"] == "/etc/rspamd/postamt.conf")
    said, _end = json.JSONDecoder().raw_decode(text.partition(f"\n{name} ")[2])
    return said


def test_the_keys_of_each_domain_are_secret_and_the_signer_s() -> None:
    of = site()
    found = plan("rspamd", of)
    keys = {item["path"]: item for item in found["files"] if item["path"].endswith(".key")}
    assert sorted(keys) == sorted(
        f"/etc/rspamd/postamt/{key.selector}._domainkey.{domain}.key"
        for domain in of.domains
        for key in of.dkim_keys[domain].signing.keys
    )
    for item in keys.values():
        assert (item["mode"], item["owner"], item["group"], item["secret"]) == ("0640", "root", "_rspamd", True)
    named = section(found, "postamt_dkim")["keys"]
    assert {one["path"] for signing in named.values() for one in signing} == set(keys)
    assert not [item["path"] for item in found["files"] if item["path"] not in keys and "PRIVATE" in forms.text(item)]


def test_without_signatures_there_is_no_signer() -> None:
    of = site(**BARE)
    found = plan("rspamd", of)
    assert (found["wanted"], found["files"]) == (False, [])
    assert "milter" not in json.dumps(plan("postfix", of)["files"]).replace("milter_macro_daemon_name", "")


@pytest.mark.parametrize(
    ("domains", "signing"),
    [
        (["example.org"], {"mail.example.org": "example.org", "example.org": "example.org"}),
        (
            ["example.org", "mail.example.org"],
            {"mail.example.org": "mail.example.org", "example.org": "example.org"},
        ),
        (["example.net"], {"example.net": "example.net"}),
        (["ple.org"], {"ple.org": "ple.org"}),  # the end of a word is no domain
    ],
)
def test_who_signs_for_an_address(domains: list[str], signing: dict[str, str]) -> None:
    assert section(plan("rspamd", site(mail_domains=domains)), "postamt_dkim")["domains"] == signing


def test_the_nearest_domain_signs_for_a_host() -> None:
    of = site({"mail.b.example.org": ["mail"]}, mail_domains=["example.org", "b.example.org"])
    found = section(plan("rspamd", of, name="mail.b.example.org"), "postamt_dkim")
    assert found["domains"]["mail.b.example.org"] == "b.example.org"


def options(of: Site, wanted: str, name: str = NAME) -> dict[str, t.Any]:
    """Return an option at main.cf and at each service that has it, and is not empty there."""
    found = {item["path"].rpartition("/")[2]: item["content"] for item in plan("postfix", of, name=name)["files"]}
    said = {"main.cf": found["main.cf"].get(wanted)}
    said |= {key: service["options"].get(wanted) for key, service in found["master.cf"].items()}
    return {key: value for key, value in said.items() if value}


def test_without_a_filter_mail_is_signed_as_it_enters() -> None:
    of = site()
    assert options(of, "smtpd_milters") == {"submission/inet": SIGNER, "submissions/inet": SIGNER}
    assert options(of, "non_smtpd_milters") == {"main.cf": SIGNER}
    known = f"cidr:{{ {{ 127.0.0.0/8 {SIGNER} }} {{ ::1/128 {SIGNER} }} }}"
    assert options(of, "smtpd_milter_maps") == {"smtp/inet": known}
    named = dict.fromkeys(["submission/inet", "submissions/inet"], "ORIGINATING") | {"cleanup/unix": "HOSTS"}
    assert options(of, "milter_macro_daemon_name") == named
    assert section(plan("rspamd", of), "postamt_dkim")["loopback"] is True


@pytest.mark.parametrize("way", ["before_queue", "after_queue"])
def test_with_a_filter_mail_is_signed_when_it_comes_back(way: str) -> None:
    of = site(mail_content_filter=way, mail_from_of_users="any")
    assert options(of, "smtpd_milters") == {"filtered-users/unix": SIGNER, "filtered-hosts/unix": SIGNER}
    for name in ("non_smtpd_milters", "smtpd_milter_maps"):
        assert options(of, name) == {}
    named = options(of, "milter_macro_daemon_name")
    assert (named["filtered-users/unix"], named["filtered-hosts/unix"]) == ("ORIGINATING", "HOSTS")
    assert not {"main.cf", "smtp/inet", "filtered/unix"} & set(named), "strangers' mail"
    assert section(plan("rspamd", of), "postamt_dkim")["loopback"] is False


def test_hosts_that_send_no_mail_to_the_world_sign_none() -> None:
    of = site(GROUPS, mail_content_filter="before_queue")
    assert {name for name in GROUPS if plan("rspamd", of, name=name)["wanted"]} == {"in.example.org", "out.example.org"}
    for name in ("filter.example.org", "store.example.org", "app.example.org"):
        assert not any(options(of, word, name) for word in ("smtpd_milters", "non_smtpd_milters", "smtpd_milter_maps"))
        assert not [item for item in plan("rspamd", of, name=name)["files"] if item["path"].endswith(".key")]


def test_programs_of_a_host_without_port_25_for_the_world_are_signed_for() -> None:
    of = site({"out.example.org": ["mail", "mail_submission"], "in.example.org": ["mail", "mail_mx", "mail_store"]})
    asked = options(of, "smtpd_milters", "out.example.org")
    assert asked["127.0.0.1:smtp/inet"] == SIGNER and "main.cf" not in asked
    named = options(of, "milter_macro_daemon_name", "out.example.org")
    assert set(asked) <= set(named), "the signer takes a message for the site's own by its name"


def test_settings_of_one_s_own_are_merged_option_by_option() -> None:
    found = plan(
        "rspamd", site(), {"settings": {"logging": {"level": "info"}, "neighbours": {"a": 1}, "actions": None}}
    )
    assert section(found, "logging") == {"type": "console", "level": "info", "systemd": True}
    assert section(found, "neighbours") == {"a": 1}
    assert "actions {" not in str(found["files"])
    without = plan("rspamd", site(), {"settings": {"logging": {"systemd": None}}})
    assert section(without, "logging") == {"type": "console", "level": "warning"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"logging": "info"}, "rspamd_settings: logging must be a mapping of options"),
        ({"log ging": {}}, "rspamd_settings: 'log ging' must be the name of a section, such as logging"),
        ({"a { b": {}}, "must be the name of a section"),
        ({"postamt_dkim": None}, "rspamd_settings: postamt_dkim is what the collection runs Rspamd for"),
        ({"worker": {"count": 2}}, "rspamd_settings: worker is what the collection runs Rspamd for"),
    ],
)
def test_settings_that_are_none(settings: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(ComposeError, match=re.escape(sentence)):
        plan("rspamd", site(), {"settings": settings})


@pytest.mark.parametrize(
    ("existing", "sentence"),
    [
        ({"example.com": [{"selector": "s", "key_file": "f"}]}, "is no domain of the site (mail_domains)"),
        ({"example.org": []}, "must list one or two keys"),
        ({"example.org": [{"selector": "s", "key_file": "f"}] * 2}, "must name each selector once"),
        ({"example.org": [{"selector": "-s", "key_file": "f"}]}, "must be labels of letters, digits and hyphens"),
        ({"example.org": [{"selector": ".".join(["s" * 63] * 4), "key_file": "f"}]}, "makes a name in the DNS"),
        ({"example.org": [{"selector": "s", "key_file": "-----BEGIN PRIVATE KEY-----"}]}, "is not the key itself"),
        ({"example.org": [{"selector": "s", "key_file": f"{'A' * 43}="}]}, "is not the key itself"),
    ],
)
def test_keys_that_cannot_be_taken_over(existing: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(SiteError, match=re.escape(sentence)) as refused:
        site(mail_dkim_existing=existing)
    assert "PRIVATE" not in str(refused.value) and "AAAA" not in str(refused.value)


def test_a_domain_whose_keys_would_have_no_name() -> None:
    long = ".".join(["d" * 63, "d" * 63, "d" * 63, "d" * 41])
    with pytest.raises(SiteError, match="leaves no room for the names of DKIM's records"):
        site(mail_domains=["example.org", long])
    assert site(mail_domains=["example.org", long], mail_dkim=False)
