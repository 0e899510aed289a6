# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Input of every odd form: what the model accepts goes through all plans, what it refuses `account` refuses, too."""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.postamt.mail.plugins.action import account
from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.store import Asked
from ansible_collections.postamt.mail.plugins.plugin_utils._model import hashes, schema, value_types
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput, Look
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import ROLE_ADDRESSES, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._ldap_entries import applied_passwords
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Account = dict[str, t.Any]

DOMAINS = ["example.org", "bücher.example"]
ALICE = {"address": "alice@example.org", "password": "open-sesame-1"}
HASHES = [
    "{ARGON2ID}$argon2id$v=19$m=1024,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$29VKc4NHoj7igIBY0xlIKfUr7wLXndBmnA56POa+0mw",
    "$6$saltsaltsaltsalt$U0Jm5aIeKbUDQiqr7TEcPTtvKQa3gl8O9Ojgsw9O57EAPSxTmz24FTrRV.g3lwyILIZkbU/hQABCq5/o0jwRY1",
    "{SSHA}upazRePfRX8aShXqIZEsekQZErtzYWx0c2FsdA==",
]
quickly = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

printable = st.characters(min_codepoint=32, max_codepoint=126)
local = st.one_of(
    st.text(st.sampled_from("ab'.-_&=#$^~{}|`*?/+%!\"\\ @:,;<>()[]ÄÀ\n\t"), min_size=1, max_size=8),
    st.text(printable, max_size=70),
    st.sampled_from(["postmaster", "root", "alice", "ALICE", "alice+x", "x" * 64, "..", "{{ 1 }}", "o'brien"]),
)
domain = st.sampled_from([*DOMAINS, "EXAMPLE.org.", " example.org", "BÜCHER.example", "sub.example.org", "org", ""])
address = st.builds("{}@{}".format, local, domain)
text = st.text(max_size=30)
size = st.one_of(
    st.integers(-(10**20), 10**20), st.floats(), st.from_regex(r"[0-9]{1,6} ?[KMGT]?i?B?", fullmatch=True), text
)
junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
target = st.one_of(
    address, st.sampled_from(["bob@elsewhere.example", "b%c!d@elsewhere.example", "alice+x@example.org"])
)
# What the playbook postamt.mail.account takes of an account, as well as the inventory
said = st.fixed_dictionaries(
    {"address": address},
    optional={
        "name": text,
        "quota": size.filter(lambda value: not isinstance(value, float)),
        "aliases": st.lists(address, max_size=2),
        "forward": st.lists(target, max_size=2),
        "keep_copy": st.booleans(),
    },
)
password = st.one_of(text, st.text(min_size=100, max_size=300), st.integers(), st.floats(), st.booleans())
hashed = st.one_of(
    st.sampled_from(HASHES),
    st.builds("{{{}}}{}".format, st.text(max_size=8), st.sampled_from(HASHES)),
    st.builds(lambda value, cut: value[:cut], st.sampled_from(HASHES), st.integers(0, 120)),
    text,
)
secrets = st.one_of(
    st.just({}), st.fixed_dictionaries({"password": password}), st.fixed_dictionaries({"password_hash": hashed})
)


def site(accounts: list[Account], release: str = "trixie", **more: t.Any) -> Site:
    alice = {"address": ALICE["address"]} if more.get("mail_accounts_backend") == "system" else ALICE
    variables = {"mail_domains": DOMAINS, "mail_accounts": [alice, *accounts], **more}
    hosts = {"mail.example.org": HostInput(look=Look(release=value_types.Word(release)))}
    return parse_site(variables, hosts, compose.concerns().values())


def accepted(*accounts: Account, **more: t.Any) -> bool:
    """Whether the model takes accounts; whatever else it raises fails the test."""
    try:
        return bool(site([*accounts], **more))
    except schema.SiteError as error:
        assert all(str(problem).isprintable() for problem in error.problems)
        return False


def refused_by_account(one: Account) -> list[str]:
    """Return what postamt.mail.account says against adding an account, its options being text as Ansible makes them."""
    problems: list[schema.Problem] = []
    wanted = {**one, **({"quota": str(one["quota"])} if "quota" in one else {})}
    wanted["account"] = wanted.pop("address")
    asked = schema.parse_fields(Asked, {"state": "present", **wanted}, "", problems, prefix="")
    return [*map(str, problems), *(map(str, account.check(site([]), asked)) if asked else [])]


def lines_of(plan: compose.Plan, name: str) -> list[str]:
    (content,) = [forms.text(item) for item in plan["files"] if item["path"].endswith(f"/{name}")]
    return str(content).splitlines()


@quickly
@given(st.lists(st.builds(lambda one, secret: {**one, **secret}, said, secrets), min_size=8, max_size=16))
def test_what_is_accepted_goes_through_all_plans(accounts: list[Account]) -> None:
    chosen: list[Account] = []
    for one in accounts:
        if accepted(one) and accepted(*chosen, one):
            chosen.append(one)
    for backend, release in (("directory", "bookworm"), ("directory", "trixie"), ("system", "trixie")):
        more = {"mail_accounts_backend": backend, "mail_content_filter": "before_queue", "mail_antivirus": False}
        alone = chosen if backend == "directory" else [one for one in chosen if accepted(one, **more)][:1]
        found = site(alone, release, **more)
        host = found.hosts["mail.example.org"]
        plans = {program: compose.plan(program, found, host) for program in compose.programs()}
        json.dumps(plans).encode("ascii")
        for plan in plans.values():
            for item in plan["files"]:
                forms.text(item).encode()
        for parsed in found.accounts:
            assert set(parsed.address.upper() + parsed.address) <= set(value_types.LOGIN_LETTERS) | set(
                "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
            )
        if backend == "system":
            for name in ("aliases", "owners", "mailboxes"):
                for line in lines_of(plans["postfix"], name):
                    assert re.fullmatch(r"[^\s#]\S*\t\S(.*\S)?", line)
            continue
        entries = plans["ldap"]["entries"]
        assert set(entries["accounts"]) == {one.address for one in found.accounts}
        for values in (values for one in entries["accounts"].values() for values in one.values()):
            assert all(values) and len(set(values)) == len(values), "slapd takes no empty value, and none twice"
        for given_ in applied_passwords(found, entries["accounts"]).values():
            assert given_.get("clear") or given_["hash"][1:].partition("}")[0] in hashes.KNOWN


@quickly
@given(st.lists(said, min_size=8, max_size=16))
def test_the_playbook_for_one_account_takes_what_the_inventory_takes_and_no_more(accounts: list[Account]) -> None:
    nowhere = re.compile("does not exist")  # who else is in the directory, the controller does not know
    for one in accounts:
        try:
            site([one])
        except schema.SiteError as error:
            if not all(nowhere.search(str(problem)) for problem in error.problems):
                assert refused_by_account(one), error
        else:
            names = {name.partition("@")[0].strip().lower() for name in (one["address"], *one.get("aliases", ()))}
            # Role addresses are aliases of the inventory until it says something else.
            assert names & set(ROLE_ADDRESSES) or refused_by_account(one) == []


@quickly
@given(
    st.sampled_from(["mail_accounts", "mail_aliases", "mail_quota", "mail_adopt", "mail_domains", "mail_relayhost",
                     "mail_gateway", "mail_filter_policies", "mail_content_filter", "mail_accounts_grace_days"]),
    st.one_of(junk, st.dictionaries(address, st.one_of(junk, st.lists(target, max_size=2)), max_size=3)),
)  # fmt: skip
def test_whatever_stands_there_is_taken_or_refused_in_words(name: str, value: t.Any) -> None:
    accepted(**{name: value})


@quickly
@given(hashed)
def test_a_hash_is_one_that_slapd_knows_or_none(value: str) -> None:
    try:
        found = hashes.for_slapd(value)
    except hashes.Unknown as unknown:
        body = value.rpartition("}")[2]
        assert len(body) < 8 or body not in str(unknown)
        return
    assert re.match(rf"\{{({'|'.join(hashes.KNOWN)})\}}[!-~]+\Z", found)
    assert hashes.for_slapd(found) == found
