# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the site model accepts, and the one message that lists everything it refuses."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter import _filtering as filtering
from ansible_collections.postamt.mail.plugins.plugin_utils._model import renamed
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError, field_types
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Secrets, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Address, address, domain, size
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import HostVariables, SiteVariables
from ansible_collections.postamt.mail.tests.lib.looks import looked

HOST = {"mail.example.org": HostInput()}
GOOD: dict[str, t.Any] = {
    "mail_domains": ["example.org"],
    "mail_accounts": [{"address": "alice@example.org"}, {"address": "bob@example.org"}],
}


def site(hosts: t.Any = None, **changes: t.Any) -> Site:
    return parse_site({**GOOD, **changes}, hosts or HOST, compose.concerns().values())


OFF = {"address": "off@example.org", "enabled": False}


def message(hosts: t.Any = None, **changes: t.Any) -> str:
    with pytest.raises(SiteError) as caught:
        site(hosts, **changes)
    return str(caught.value)


def test_the_smallest_site() -> None:
    found = site()
    assert found.server_name == "mail.example.org"
    assert found.postmaster == "alice@example.org"
    assert found.all_aliases[Address("postmaster@example.org")] == ["alice@example.org"]
    assert found.hosts["mail.example.org"].has("mail_store")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mail_domain": []}, "mail_domain: is not known; did you mean mail_domains?"),
        ({"mail_domains": ["nope"]}, "mail_domains[0] is 'nope': must be a domain name"),
        ({"mail_domains": ["example.org", "EXAMPLE.org"]}, "mail_domains is 'example.org': is listed twice"),
        (
            {"mail_accounts": [{"adress": "a@example.org"}]},
            "mail_accounts[0].adress: is not known; did you mean address?",
        ),
        ({"mail_accounts": [{"address": "alice"}]}, "mail_accounts[0].address is 'alice': must be a mail address"),
        ({"mail_accounts": [{"address": "a@other.org"}]}, "is 'a@other.org': must be in one of mail_domains"),
        ({"mail_accounts": [{"address": "a@example.org", "quota": "much"}]}, "quota is 'much': must be a size"),
        (
            {"mail_accounts": [*GOOD["mail_accounts"], OFF], "mail_postmaster": "off@example.org"},
            "mail_postmaster is 'off@example.org': is disabled: name somebody who reads mail",
        ),
        ({"mail_accounts": [GOOD["mail_accounts"][0]] * 2}, "is taken already by mail_accounts alice@example.org"),
        ({"mail_aliases": {"x@example.org": ["nobody@example.org"]}}, "is 'nobody@example.org': does not exist"),
        ({"mail_aliases": {"x@example.org": ["y@example.org"], "y@example.org": ["x@example.org"]}}, "in a circle: "),
        (
            {"mail_accounts": [{"address": "a@example.org", "renamed_from": "A@example.org"}]},
            "renamed_from is 'a@example.org': must be another address than the account has now",
        ),
        (
            {
                "mail_accounts": [
                    *GOOD["mail_accounts"],
                    {"address": "a@example.org", "renamed_from": "bob@example.org"},
                ]
            },
            "is 'bob@example.org': is an address of mail_accounts bob@example.org now",
        ),
        (
            {"mail_accounts": [{"address": f"{x}@example.org", "renamed_from": "c@example.org"} for x in "ab"]},
            "renamed_from is 'c@example.org': is named by two accounts",
        ),
        (
            {
                "mail_accounts_backend": "system",
                "mail_accounts": [{"address": "a@example.org", "renamed_from": "b@example.org"}],
            },
            "is for accounts in the directory",
        ),
        *(
            (changes, f"is '{start}x@example.org': must not begin with {start}: where addresses are read")
            for start in "|/-#$"
            for changes in (
                {"mail_postmaster": f"{start}x@example.org"},
                {"mail_accounts": [{"address": f"{start}x@example.org"}]},
                {"mail_accounts": [{"address": "a@example.org", "aliases": [f"{start}x@example.org"]}]},
                {"mail_aliases": {"a@example.org": [f"{start}x@example.org"]}},
            )
        ),
        ({"mail_aliases": {'"|id"@example.org': ["a@example.org"]}}, "must be a mail address"),
        ({"mail_aliases": {"a@example.org": [":include:/x@example.org"]}}, "must be a mail address"),
        ({"mail_spf_includes": ["x.example -all"]}, "must be a name in the DNS, such as _spf.provider.example"),
        ({"mail_banned_types": ["x/y'i, qr'z"]}, "must be a MIME type such as application/hta"),
        ({"mail_clamav_server": "fe80::1%eth0"}, "must be an IPv4 or IPv6 address"),
        ({"mail_accounts_grace_days": -1}, "mail_accounts_grace_days is -1: must be from 0 to 36500"),
        ({"mail_accounts_backend": "ldpa"}, "mail_accounts_backend is 'ldpa': must be one of directory, system"),
        ({"mail_relayhost": {"host": "r.example.net", "username": "u"}}, "must have both username and password"),
        (
            {"mail_relayhost": {"host": "r.example.net", "username": "a:b", "password": "c"}},
            "mail_relayhost.username is 'a:b': must have no :",
        ),
        ({"mail_aliases": {"@example.org": ["a@example.org"]}}, "'@example.org': stands for a whole domain"),
        ({"mail_aliases": {"*@example.org": ["a@example.org"]}}, "no catch-all addresses or domain aliases"),
        ({"mail_accounts": [{"address": "a@example.org", "aliases": ["@example.org"]}]}, "no catch-all addresses"),
        ({"mail_postmaster": "a%d@elsewhere.example"}, "mail_postmaster is 'a%d@elsewhere.example': must not have %"),
        *(
            (changes, f"must not have {letter} before its @")
            for letter, places in {"+": 1, "*": 1, "?": 1, "/": 1, "%": 4, "!": 4}.items()
            for changes in (
                {"mail_accounts": [{"address": f"a{letter}b@example.org"}]},
                {"mail_accounts": [{"address": "a@example.org", "aliases": [f"a{letter}b@example.org"]}]},
                {"mail_aliases": {f"a{letter}b@example.org": ["alice@example.org"]}},
                {"mail_gateway": {"x.example": {"host": "10.0.0.5", "recipients": [f"a{letter}b@x.example"]}}},
            )[:places]
        ),
        (
            {
                "mail_domains": [f"{'a' * 60}.{'b' * 60}.{'c' * 60}.example"],
                "mail_accounts": [{"address": f"{'x' * 64}@{'a' * 60}.{'b' * 60}.{'c' * 60}.example"}],
            },
            "must have at most 254 characters",
        ),
        (
            {"mail_aliases": {"i@example.org": ["alice@example.org"], "I@Example.org.": ["bob@example.org"]}},
            "mail_aliases.I@Example.org.: is listed twice",
        ),
        (
            {"mail_gateway": {"x.example": {"host": "10.0.0.5"}, "X.example": {"host": "10.0.0.6"}}},
            "mail_gateway.X.example: is listed twice",
        ),
        (
            {"mail_filter_policies": {"example.org": {}, "Example.ORG": {}}},
            "mail_filter_policies.Example.ORG: is listed twice",
        ),
        ({"mail_filter_policies": {"carol@example.org": {}}}, "must be one of mail_domains or an account's address"),
        (
            {"mail_aliases": {"loop@example.org": ["loop+x@example.org"]}},
            "point in a circle: loop@example.org -> loop@example.org",
        ),
        (
            {"mail_accounts": [{"address": "lp@example.org", "forward": ["lp+copy@example.org"], "keep_copy": True}]},
            "point in a circle: mail to lp@example.org goes to lp+copy@example.org, and from there to lp@example.org",
        ),
        (
            {
                "mail_accounts": [
                    {"address": "a@example.org", "forward": ["b+x@example.org"], "keep_copy": True},
                    {"address": "b@example.org", "forward": ["a@example.org"], "keep_copy": True},
                ]
            },
            "mail to a@example.org goes to b+x@example.org, and from there to a@example.org again",
        ),
        ({"mail_accounts": [{"address": "a@example.org", "password": "ä" * 64}]}, "must have at most 127 bytes"),
        ({"mail_accounts": [{"address": "a@example.org", "password": "open-sesame\t1"}]}, "must have no tab"),
        *(
            ({"mail_accounts": [{"address": "a@example.org", "password": value}]}, "need quotes to be text")
            for value in (83, 45296, 1.5, True, datetime.datetime(2001, 12, 14, 21, 59, 43))
        ),
        ({"mail_accounts": [{"address": "a@example.org", "name": 7}]}, "name is 7: must be text; numbers"),
        ({"mail_accounts": [{"address": "a@example.org", "name": "\ud800"}]}, "without control characters"),
        ({"mail_accounts": [{"address": "a@example.org", "quota": "2000T"}]}, "must be at most 1024T"),
        ({"mail_accounts": [{"address": "a@example.org", "quota": 1.5}]}, "must be a size"),
        ({"mail_spam_scores": {"X": float("nan")}}, "must be a number"),
        (
            {
                "mail_accounts_backend": "system",
                "mail_domains": ["example.org", "example.net"],
                "mail_accounts": [{"address": "info@example.org"}, {"address": "Info@example.net"}],
            },
            "mail_accounts info@example.net: is user info of the host, and info@example.org is the same",
        ),
        ({"mail_accounts_backend": "system", "mail_accounts": [{"address": "~x@example.org"}]}, "is no name of a user"),
        *(
            (
                {"mail_accounts_backend": "system", "mail_accounts": [{"address": "a@example.org", key: value}]},
                f"mail_accounts a@example.org: {key}: is for accounts in the directory",
            )
            for key, value in {"password": "open-sesame-1", "password_hash": f"$1$a${'x' * 22}", "quota": "1G"}.items()
        ),
        *(
            ({name: value}, f"{name} is {value}: must be from {least} to ")
            for name, least in {
                "mail_recipient_limit": 1,
                "mail_client_auth_rate_limit": 0,
                "mail_client_connection_limit": 0,
                "mail_dns_ttl": 0,
                "mail_quota_messages": 0,
                "mail_accounts_grace_days": 0,
                "mail_filter_processes": 1,
                "mail_certificates_days": 1,
                "mail_certificates_renew_days": 1,
            }.items()
            for value in (least - 1, 1 << 31)
        ),
        ({"mail_domains": ["example.org.."]}, "mail_domains[0] is 'example.org..': must be a domain name"),
        ({"mail_message_size_limit": 50}, "mail_message_size_limit is 50: must be at least 64K"),
        (
            {"mail_domains": ["example.org", "example.net"], "mail_maildir": "/mail/{local}"},
            "mail_maildir is '/mail/{local}': must have {user}, or {domain} too",
        ),
        *(({"mail_maildir": path}, "and no ..") for path in ("~/../Maildir", "/mail/../{user}")),
        *(
            ({"mail_directory_suffix": suffix}, f"mail_directory_suffix is '{suffix}': must be a DN")
            for suffix in ("o=mail ", "o=a ,dc=b", "o=a  b", "o=m,c=deu")
        ),
        *(
            ({"mail_gateway": {"x.example": {"host": host}}}, f"mail_gateway.x.example.host is '{host}': must be the")
            for host in ("", "a b", "10.0.0.5:25", "[10.0.0.5]", "10.0.0.500", "fe80::1%eth0")
        ),
        *(
            ({"mail_header_checks": [{"match": match, "action": action, "text": text}]}, sentence)
            for match, action, text, sentence in (
                ("", "reject", "no", "mail_header_checks[0].match is '': must not be empty"),
                ("x", "reject", "costs $5", "mail_header_checks[0].text is 'costs $5': must have $$ for a dollar"),
                ("(x)", "replace", "X: $2", "match has 1 pairs of parentheses"),
                ("(x)", "replace", "X: $", "must have $$ for a dollar"),
                ("x", "redirect", "nobody", "text is 'nobody': must be a mail address, which action redirect needs"),
                ("x", "prepend", "no header", "must be a header line such as X-Checked: yes"),
                ("x", "filter", "amavis", "must be transport:destination"),
                ("a\\", "hold", "", "must not have \\Q, nor end in a backslash"),
                (r"\Qa/b\E", "hold", "", "must not have \\Q, nor end in a backslash"),
                ("(", "hold", "", "must be a regular expression of PCRE: missing closing parenthesis at offset 1"),
            )
        ),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, t.Any], sentence: str) -> None:
    assert sentence in message(**changes)


def test_every_problem_is_listed_at_once() -> None:
    said = message(
        mail_domian=1, mail_aliases={"x@example.org": []}, mail_header_checks=[{"match": "(", "action": "hold"}]
    )
    assert said.startswith("3 problems")


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        (HostInput(["mail", "mail_mxx"]), "group mail_mxx of host mail.example.org: is no group of the site"),
        (
            HostInput(look=looked(release="sid")),
            "Debian release of host mail.example.org is 'sid': must be one of bookworm",
        ),
        (
            HostInput(look=looked(in_the_way=["user deploy has 5000"])),
            "vmail of host mail.example.org: must be user and group number 5000, so that mailboxes can move to another "
            "host, but there user deploy has 5000. Stop the programs",
        ),
        (
            HostInput(look=looked(architecture="i386")),
            "architecture of host mail.example.org is 'i386': must be one of",
        ),
        (
            HostInput(variables={"mail_host_name": "mail"}),
            "mail_host_name is 'mail': must be a fully qualified host name",
        ),
    ],
)
def test_what_is_wrong_with_a_host_is_said(host: HostInput, sentence: str) -> None:
    assert sentence in message({"mail.example.org": host})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mail_accounts": [{"address": "a@example.org", "password": ["s3cret"]}]}, "password: must be text"),
        ({"mail_accounts": {"a@example.org": {"password": "s3cret"}}}, "mail_accounts is a mapping: must be a list"),
        ({"mail_accounts": ["a@example.org:s3cret"]}, "mail_accounts[0] is text: must be a mapping with the keys"),
        ({"mail_relayhost": "smtp://u:s3cret@r.example"}, "mail_relayhost is text: must be a mapping with the keys"),
        ({"mail_acme": ["s3cret"]}, "mail_acme is a list: must be a mapping"),
        ({"mail_accounts": None}, "mail_accounts is null: must be a list"),
        ({"mail_adopt": None}, "mail_adopt is null: must be true or false"),
        ({"mail_aliases": ["a"]}, "mail_aliases is ['a']: must be a mapping"),
    ],
)
def test_a_password_is_in_no_message(changes: dict[str, t.Any], sentence: str) -> None:
    said = message(**changes)
    assert sentence in said and "s3cret" not in said


@pytest.mark.parametrize(
    ("fewest", "password", "fits"),
    [
        (None, "nine-char", False),
        (None, "ten-chars!", True),
        (8, "sieben7", False),
        (8, "achtacht", True),
        (20, "nineteen-characters", False),
    ],
)
def test_a_password_that_somebody_sets_has_a_least_length(fewest: int | None, password: str, fits: bool) -> None:
    changes: dict[str, t.Any] = {"mail_accounts": [{"address": "a@example.org", "password": password}]}
    if fewest:
        changes["mail_password_min_length"] = fewest
    if fits:
        (account,) = site(**changes).accounts
        assert account.password == password
        return
    said = message(**changes)
    assert f"mail_accounts a@example.org: password: must have at least {fewest or 10} characters" in said
    assert password not in said


@pytest.mark.parametrize("fewest", [0, 7, 25])
def test_the_least_length_has_bounds_itself(fewest: int) -> None:
    assert f"mail_password_min_length is {fewest}: must be from 8 to 24" in message(mail_password_min_length=fewest)


def test_what_somebody_wrote_into_the_state_folder_is_measured_too() -> None:
    hosts = {"mail.example.org": HostInput(), "app.example.org": HostInput(groups=("mail", "mail_client"))}
    secrets = Secrets(
        {"alice@example.org": "short-1", "client:app.example.org": "short-2", "service:postfix": "short-3"}
    )
    with pytest.raises(SiteError) as caught:
        parse_site(GOOD, hosts, compose.concerns().values(), secrets)
    said = str(caught.value)
    assert "password of alice@example.org in secrets.yml: must have at least 10 characters" in said
    assert "password of client:app.example.org in secrets.yml: must have at least 10 characters" in said
    assert "short-" not in said and "service:postfix" not in said


def test_names_of_ones_own() -> None:
    assert site(mail_x_anything=1).domains == site().domains


def test_unicode_domains_become_a_labels() -> None:
    assert domain("Bücher.example") == "xn--bcher-kva.example"
    assert address("Anna@Bücher.example") == "anna@xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("text", "number"), [("1M", 1 << 20), ("1 MB", 1 << 20), ("500K", 512000), (0, 0), ("2G", 2 << 30)]
)
def test_sizes(text: object, number: int) -> None:
    assert size(text) == number


@pytest.mark.parametrize(
    ("changes", "read"),
    [
        ({"mail_adopt": "true"}, True), ({"mail_adopt": "No"}, False), ({"mail_adopt": 1}, True),
        ({"mail_adopt": 0.0}, False), ({"mail_accounts_grace_days": " 20 "}, 20),
        ({"mail_accounts_grace_days": 20.0}, 20), ({"mail_quota": 104857600.0}, 104857600),
        ({"mail_content_filter": False}, "off"), ({"mail_content_filter": "off"}, "off"),
    ],
)  # fmt: skip
def test_a_value_may_be_written_as_yaml_json_ini_and_the_command_line_write_it(
    changes: dict[str, t.Any], read: object
) -> None:
    (name,) = changes
    parsed = site(**changes)
    found = vars(parsed.core).get(name, vars(parsed.of(filtering.Variables)).get(name))
    assert found == read and type(found) is type(read)


@pytest.mark.parametrize(
    "changes",
    [
        {"mail_adopt": "maybe"}, {"mail_adopt": 2}, {"mail_adopt": None}, {"mail_accounts_grace_days": "1_000"},
        {"mail_accounts_grace_days": True}, {"mail_accounts_grace_days": 1.5}, {"mail_accounts_grace_days": "9" * 5000},
        {"mail_content_filter": True}, {"mail_content_filter": 0},
    ],
)  # fmt: skip
def test_what_is_no_value_in_any_of_them_is_refused(changes: dict[str, t.Any]) -> None:
    assert message(**changes)


def test_an_accounts_own_address_and_one_that_stands_twice_are_no_further_aliases() -> None:
    found = site(
        mail_accounts=[
            {
                "address": "alice@example.org",
                "aliases": ["Alice@Example.org", "a@example.org", "A@example.org"],
                "forward": ["x@example.net", "X@Example.net"],
            }
        ],
        mail_aliases={"team@example.org": ["alice@example.org", "Alice@example.org"]},
    )
    assert found.accounts[0].aliases == ["a@example.org"]
    assert found.accounts[0].forward == ["x@example.net"]
    assert found.aliases == {"team@example.org": ["alice@example.org"]}


def test_what_looks_like_a_plus_address_and_stands_for_somebody_makes_no_circle() -> None:
    alice = {"address": "alice@example.org", "forward": ["alice+x@example.org"]}
    accounts = [alice, {"address": "bob@example.org"}]
    found = site(mail_accounts=accounts, mail_aliases={"alice+x@example.org": ["bob@example.org"]})
    assert found.aliases == {"alice+x@example.org": ["bob@example.org"]}
    assert found.accounts[0].forward == ["alice+x@example.org"]


def test_an_accounts_aliases_have_the_letters_of_an_account() -> None:
    with pytest.raises(SiteError, match="must not have [+] before its @"):
        site(mail_accounts=[{"address": "bob@example.org", "aliases": ["b+b@example.org"]}])


def test_an_address_elsewhere_may_have_letters_that_none_here_has() -> None:
    aliases = {"a+b*c?@example.org": ["x%y!z*@elsewhere.example", "alice+lists@example.org"]}
    assert site(mail_aliases=aliases).aliases == aliases


def test_a_forward_back_to_itself_with_a_copy_is_no_circle() -> None:
    accounts = [
        {"address": "alice@example.org", "forward": ["bob@example.org"], "keep_copy": True},
        {"address": "bob@example.org"},
    ]
    found = site(mail_accounts=accounts).accounts[0]
    assert (found.forward, found.keep_copy) == (["bob@example.org"], True)


A, B = "a.example.org", "b.example.org"


def holding(
    a: list[str],
    b: list[str],
    *,
    moving: bool = False,
    store: str = A,
    directory: tuple[str, ...] = (A, B),
    **more: t.Any,
) -> Site:
    """A site of two hosts by what each holds."""
    groups = {name: ["mail", "mail_mx"] for name in (A, B)}
    groups[store].append("mail_store")
    for name in directory:
        groups[name].append("mail_directory")
    hosts = {name: HostInput(groups[name], look=looked(holds=held)) for name, held in ((A, a), (B, b))}
    return parse_site({**GOOD, **more}, hosts, compose.concerns().values(), moving=moving)


@pytest.mark.parametrize(
    ("held", "more", "sentence"),
    [
        ((["directory"], []), {"mail_directory_provider": B}, f"mail_directory_provider is '{B}': would be an empty"),
        ((["directory"], []), {"directory": (B,)}, f"group mail_directory is '{B}': would be an empty directory"),
        ((["directory"], ["arriving"]), {"directory": (B,)}, "Run the playbook postamt.mail.move_directory"),
        (([], ["arriving"]), {}, f"the accounts and passwords are on {B}"),
        ((["directory"], ["directory"]), {}, f"is '{A}, {B}': each hold a directory that takes changes"),
        (([], ["mailboxes"]), {}, f"would leave the mailboxes of {B} behind"),
        ((["mailboxes"], []), {"store": B}, "rsync -aHAX --numeric-ids /var/vmail/ root@b.example.org:/var/vmail/"),
    ],
)
def test_nothing_is_left_behind(held: tuple[list[str], list[str]], more: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(SiteError) as caught:
        holding(*held, **more)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("held", "more"),
    [
        ((["directory", "mailboxes"], []), {}),
        (([], []), {"directory": (B,)}),
        (([], ["directory"]), {"mail_directory_provider": B}),
        (([], ["arriving"]), {"mail_directory_provider": B}),
        ((["directory"], ["arriving"]), {}),  # of a move that was taken back
        ((["directory"], []), {"directory": (B,), "moving": True}),
    ],
)
def test_what_is_where_it_belongs_passes(held: tuple[list[str], list[str]], more: dict[str, t.Any]) -> None:
    assert holding(*held, **more)


def test_variables_of_before_lead_to_those_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {*field_types(SiteVariables), *field_types(HostVariables)}
    concerns = [one for one in compose.concerns().values() if hasattr(one, "Variables")]
    known |= {name for one in concerns for name in field_types(one.Variables)}
    assert set(renamed.RENAMED.values()) <= known
    assert not known & {*renamed.RENAMED, *renamed.REMOVED}
    monkeypatch.setitem(renamed.RENAMED, "mail_domain_names", "mail_domains")
    monkeypatch.setitem(renamed.REMOVED, "mail_speed", "nothing has to be set")
    said = {"mail_domain_names": "is called mail_domains now", "mail_speed": "is gone: nothing has to be set"}
    for name, allowed in said.items():
        with pytest.raises(SiteError, match=f"{name}: {allowed}"):
            parse_site({"mail_domains": ["example.org"], name: "x"}, {"mail.example.org": HostInput()})
