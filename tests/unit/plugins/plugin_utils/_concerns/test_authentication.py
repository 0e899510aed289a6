# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of incoming mail: which hosts judge, where Postfix asks, and what is refused in the variables."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose, memory
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.tests.lib.bare import BARE
from ansible_collections.postamt.mail.tests.lib.looks import looked

NAME = "mail.example.org"
ASKED = "{ unix:rspamd/milter.sock, default_action=tempfail }"
GROUPS = {
    "in.example.org": ["mail", "mail_mx"],
    "out.example.org": ["mail", "mail_submission"],
    "filter.example.org": ["mail", "mail_filter"],
    "store.example.org": ["mail", "mail_store"],
}


def site(groups: dict[str, list[str]] | None = None, **variables: t.Any) -> Site:
    given = {"mail_domains": ["example.org", "example.net"], **BARE, "mail_authentication": True, **variables}
    look = looked(memory=8 << 30, cores=2, swap=0)
    inputs = {name: HostInput(mine, look=look) for name, mine in (groups or {NAME: ["mail"]}).items()}
    return parse_site(given, inputs, compose.concerns().values())


def plan(program: str, of: Site, name: str = NAME) -> t.Any:
    return compose.plan(program, of, of.hosts[name])


def content(found: t.Any, path: str) -> str:
    return next((forms.text(item) for item in found["files"] if item["path"] == path), "")


def section(of: Site, wanted: str, name: str = NAME) -> t.Any:
    text = content(plan("rspamd", of, name), "/etc/rspamd/postamt.conf")
    said, _end = json.JSONDecoder().raw_decode(text.partition(f"\n{wanted} ")[2])
    return said


def asked_at(of: Site, name: str = NAME) -> set[str]:
    """Where Postfix asks the milter: main.cf, or the services with a list of their own."""
    files = {item["path"].rpartition("/")[2]: item["content"] for item in plan("postfix", of, name)["files"]}
    found = {key for key, one in files["master.cf"].items() if ASKED in str(one["options"].get("smtpd_milters"))}
    return found | ({"main.cf"} if ASKED in str(files["main.cf"].get("smtpd_milters")) else set())


BACK = {"filtered-users/unix", "filtered-hosts/unix"}


@pytest.mark.parametrize(
    ("way", "at", "filtered"),
    [
        ("off", {"main.cf"}, False),
        ("after_queue", {"main.cf", *BACK}, False),
        ("before_queue", {"filtered/unix", *BACK}, True),
    ],
)
def test_strangers_mail_is_judged_where_its_text_is_seen(way: str, at: set[str], filtered: bool) -> None:
    of = site(mail_content_filter=way)
    assert asked_at(of) == at
    said = section(of, "postamt_authentication")
    assert (said["filtered"], said["hostname"], said["authserv_id"]) == (filtered, NAME, NAME)
    (probe,) = [one for one in plan("rspamd", of)["questions"] if one["kind"] == "milter_judges"]
    assert (probe["arguments"]["client"] == "127.0.0.1", bool(probe["arguments"]["received"])) == (filtered, filtered)


def test_users_mail_is_not_shown_at_its_entry_with_a_filter_after_the_queue() -> None:
    files = {item["path"].rpartition("/")[2]: item["content"] for item in plan("postfix", site(
        mail_content_filter="after_queue"))["files"]}  # fmt: skip
    options = {key: one["options"].get("smtpd_milters") for key, one in files["master.cf"].items()}
    assert (options["submission/inet"], options["submissions/inet"]) == ("", "")


def test_hosts_that_take_mail_judge_and_the_store_files_it() -> None:
    of = site(GROUPS)
    assert {name for name in GROUPS if plan("rspamd", of, name)["wanted"]} == {"in.example.org", "out.example.org"}
    for name, judges in (("in.example.org", True), ("out.example.org", False)):
        kinds = [one["kind"] for one in plan("rspamd", of, name)["questions"]]
        assert ("milter_judges" in kinds) is judges
    names = {
        section(of, "postamt_authentication", name)["authserv_id"] for name in ("in.example.org", "out.example.org")
    }
    assert names == {str(of.server_name)}, "one name for all exchangers"
    script = content(plan("dovecot", of, "store.example.org"), "/etc/dovecot/sieve/unconfirmed.sieve")
    assert f'exists "{section(of, "postamt_authentication", "in.example.org")["junk_field"]}"' in script
    assert not content(plan("dovecot", site(mail_authentication=False)), "/etc/dovecot/sieve/unconfirmed.sieve")


def test_dovecot_runs_both_scripts_where_there_is_a_filter() -> None:
    text = content(plan("dovecot", site(mail_content_filter="after_queue")), "/etc/dovecot/dovecot.conf")
    assert "/etc/dovecot/sieve/junk.sieve" in text
    assert "/etc/dovecot/sieve/unconfirmed.sieve" in text


def test_seals_are_made_with_the_rsa_keys_that_sign() -> None:
    of = site(mail_dkim=True)
    found = section(of, "arc")
    keys = {domain: next(key for key in of.dkim_keys[domain].signing.keys if key.algorithm == "rsa")
            for domain in of.domains}  # fmt: skip
    assert {name: one["selector"] for name, one in found["domain"].items()} == {
        str(domain): key.selector for domain, key in keys.items()
    }
    files = {item["path"] for item in plan("rspamd", of)["files"]}
    assert {one["path"] for one in found["domain"].values()} <= files


@pytest.mark.parametrize("variables", [{"mail_dkim": False}, {"mail_dkim": True, "mail_arc": False}])
def test_nothing_is_sealed_without_keys_or_wish(variables: dict[str, t.Any]) -> None:
    found = section(site(**variables), "arc")
    assert (found["domain"], found["sign_inbound"]) == ({}, False)


def test_what_the_site_wants_reaches_the_module() -> None:
    said = section(
        site(
            mail_dmarc_failures="junk",
            mail_dmarc_own_domains="refuse",
            mail_dmarc_overrides={"Lists.Example.COM": "mark"},
            mail_dmarc_dns_errors="defer",
            mail_arc_trusted=["lists.example.com"],
        ),
        "postamt_authentication",
    )
    assert (said["failures"], said["own_failures"], said["dns_errors"]) == ("junk", "refuse", "defer")
    assert (said["overrides"], said["arc_trusted"]) == ({"lists.example.com": "mark"}, ["lists.example.com"])
    assert said["own_domains"] == ["example.org", "example.net"]


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"mail_dmarc_failures": "refuse"}, "mail_dmarc_failures"),
        ({"mail_dmarc_own_domains": "mark"}, "mail_dmarc_own_domains"),
        ({"mail_dmarc_overrides": {"lists.example.com": "drop"}}, r"mail_dmarc_overrides\.lists\.example\.com"),
        ({"mail_dmarc_overrides": {"anna@example.com": "mark"}}, "mail_dmarc_overrides"),
        ({"mail_dmarc_overrides": {"lists.example.com": "mark"}, "mail_authentication": False}, "mail_dmarc_overrides"),
        ({"mail_arc_trusted": ["not a domain"]}, "mail_arc_trusted"),
        ({"mail_arc_trusted": ["lists.example.com"], "mail_authentication": False}, "mail_arc_trusted"),
    ],
)
def test_what_is_refused(variables: dict[str, t.Any], why: str) -> None:
    with pytest.raises(SiteError, match=why):
        site(**variables)


def test_rspamd_s_memory_counts_once() -> None:
    def needed(**variables: t.Any) -> int:
        of = site(**variables)
        return memory.needed(of, of.hosts[NAME])

    assert needed() == needed(mail_dkim=True) > needed(mail_authentication=False)
