# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Milters and policy services: each sees the mail that it is to see, at every service that takes it, and no other."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter._sockets import FILTERED
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput, Look
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Count
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_health import serves
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    Front,
    Mail,
    Milter,
    PolicyService,
    Postfix,
    Service,
    text_of,
)
from ansible_collections.postamt.mail.tests.lib.bare import BARE

NAME = "mail.example.org"
SMTPD = {"world": "smtp/inet", "users": "submission/inet", "back": "filtered/unix"}


def composed(
    settings: dict[str, t.Any] | None = None, way: str = "after_queue", /, **said: Postfix
) -> tuple[dict[str, t.Any], dict[str, Service]]:
    """Return main.cf and master.cf of a whole mail server, with what further concerns say."""
    given = {"mail_domains": ["example.org"], "mail_content_filter": way, **BARE}
    site = parse_site(given, {NAME: HostInput(look=Look(memory=Count(8 << 30)))}, compose.concerns().values())
    parts = compose.contributions("postfix", site, site.hosts[NAME])
    return postfix.configuration(site.hosts[NAME], [*parts, *said.items()], {"settings": settings or {}})


def milters_at(found: tuple[dict[str, t.Any], dict[str, Service]]) -> dict[str, t.Any]:
    """Return the milters that see mail at each service, and those of mail that programs leave with sendmail(1)."""
    main, services = found
    at = {whose: services[key].options.get("smtpd_milters", main.get("smtpd_milters")) for whose, key in SMTPD.items()}
    return {**at, "sendmail": main.get("non_smtpd_milters")}


def test_a_milter_sees_all_mail_as_it_enters_and_none_that_comes_back() -> None:
    one = "{ inet:127.0.0.1:8891, default_action=tempfail }"
    said = Postfix(milters=[Milter("inet:127.0.0.1:8891", "sign")])
    assert milters_at(composed(one=said)) == {"world": [one], "users": [one], "back": "", "sendmail": [one]}


def test_milters_of_several_concerns_stand_in_their_slots_where_their_mail_enters() -> None:
    signs = Postfix(milters=[Milter("unix:sign", "sign", "tempfail", ("users", "hosts"))])
    checks = Postfix(milters=[Milter("unix:spf", "check", "accept", ("world",))])
    audit = Postfix(milters=[Milter("unix:audit", "check", "accept")])
    sign, spf, seen = (
        f"{{ unix:{name}, default_action={word} }}"
        for name, word in (("sign", "tempfail"), ("spf", "accept"), ("audit", "accept"))
    )
    wanted = {"world": [seen, spf], "users": [seen, sign], "back": "", "sendmail": [seen, sign]}
    assert milters_at(composed(a=signs, b=checks, c=audit)) == wanted
    assert milters_at(composed(a=audit, b=checks, c=signs)) == wanted


BACK = {mail: f"{name}/unix" for mail, name in FILTERED.items()}


def options_at(services: dict[str, Service], name: str) -> dict[str, t.Any]:
    return {key: one.options[name] for key, one in services.items() if one.options.get(name)}


@pytest.mark.parametrize(
    "mail", [("world",), ("users",), ("users", "hosts"), ("world", "users", "hosts")], ids=" ".join
)
def test_a_milter_for_filtered_mail_sees_its_mail_when_that_comes_back(mail: tuple[Mail, ...]) -> None:
    one = "{ unix:sign, default_action=tempfail }"
    main, services = composed(one=Postfix(milters=[Milter("unix:sign", "sign", mail=mail, filtered=True)]))
    assert options_at(services, "smtpd_milters") == {BACK[whose]: [one] for whose in mail}
    assert not main.get("smtpd_milters") and not main.get("non_smtpd_milters")
    assert options_at(services, "smtpd_milter_maps") == {}
    named = options_at(services, "milter_macro_daemon_name")
    assert {BACK[whose] for whose in mail if whose != "world"} == set(named) & set(BACK.values())


def test_without_a_filter_a_milter_for_filtered_mail_sees_mail_as_it_enters() -> None:
    found = composed(None, "off", one=Postfix(milters=[Milter("unix:sign", "sign", filtered=True)]))
    one = "{ unix:sign, default_action=tempfail }"
    main, services = found
    assert (main["smtpd_milters"], main["non_smtpd_milters"]) == ([one], [one])
    assert options_at(services, "smtpd_milters") == {} and not set(BACK.values()) & set(services)


def test_milters_for_mail_as_it_enters_and_for_filtered_mail_stand_apart() -> None:
    spf = Postfix(milters=[Milter("unix:spf", "check", "accept", ("world",))])
    audit = Postfix(milters=[Milter("unix:audit", "check", "accept", filtered=True)])
    signs = Postfix(milters=[Milter("unix:sign", "sign", "tempfail", ("users", "hosts"), filtered=True)])
    seen, sign, first = (
        f"{{ unix:{name}, default_action={word} }}"
        for name, word in (("audit", "accept"), ("sign", "tempfail"), ("spf", "accept"))
    )
    main, services = composed(c=spf, b=audit, a=signs)
    assert (main["smtpd_milters"], main.get("non_smtpd_milters")) == ([first], None)
    wanted = {BACK["world"]: [seen], BACK["users"]: [seen, sign], BACK["hosts"]: [seen, sign]}
    assert options_at(services, "smtpd_milters") == wanted


def maps(one: str) -> str:
    return f"cidr:{{ {{ 127.0.0.0/8 {one} }} {{ ::1/128 {one} }} }}"


@pytest.mark.parametrize(
    ("mail", "world", "local"),
    [
        (("users", "hosts"), None, "{ unix:one, default_action=tempfail }"),
        (("world", "users"), ["{ unix:one, default_action=tempfail }"], "DISABLE"),
        (("world", "users", "hosts"), ["{ unix:one, default_action=tempfail }"], ""),
        (("users",), None, ""),
    ],
)
def test_programs_at_port_25_have_milters_of_their_own(
    mail: tuple[Mail, ...], world: list[str] | None, local: str
) -> None:
    main, services = composed(one=Postfix(milters=[Milter("unix:one", "check", mail=mail)]))
    assert main.get("smtpd_milters") == world
    assert options_at(services, "smtpd_milter_maps") == ({"smtp/inet": maps(local)} if local else {})


def test_who_sets_the_milters_in_main_cf_sets_those_of_programs_too() -> None:
    said = Postfix(milters=[Milter("unix:one", "sign", mail=("users", "hosts"))])
    _main, services = composed({"smtpd_milters": "inet:127.0.0.1:9"}, one=said)
    assert options_at(services, "smtpd_milter_maps") == {}


def policies_at(found: tuple[dict[str, t.Any], dict[str, Service]], stage: str) -> dict[str, str]:
    main, services = found
    at = {}
    for whose, key in SMTPD.items():
        said = services[key].options.get(f"smtpd_{stage}_restrictions", main.get(f"smtpd_{stage}_restrictions", ""))
        at[whose] = text_of(main[str(said)[1:]] if str(said).startswith("$") else said)
    return at


ASKED = "check_policy_service { inet:127.0.0.1:10023, default_action=DUNNO }"


@pytest.mark.parametrize("stage", ["recipient", "data", "end_of_data"])
@pytest.mark.parametrize("mail", [("world",), ("users",), ("world", "users")], ids=" ".join)
def test_a_policy_service_is_asked_about_its_mail_and_no_other(stage: t.Any, mail: tuple[Mail, ...]) -> None:
    before = policies_at(composed(), stage)
    found = policies_at(
        composed(one=Postfix(policies=[PolicyService("inet:127.0.0.1:10023", stage=stage, mail=mail)])), stage
    )
    assert {whose for whose, said in found.items() if ASKED in said} == set(mail)
    without = {
        whose: said.replace(f"{ASKED}, ", "").replace(f", {ASKED}", "").replace(ASKED, "")
        for whose, said in found.items()
    }
    assert without == before, "what stood there before stays, in its order"


def test_the_quota_comes_after_every_other_policy_service() -> None:
    found = policies_at(composed(zeal=Postfix(policies=[PolicyService("unix:private/zeal")])), "recipient")
    for whose in ("world", "users"):
        assert found[whose].index("private/zeal") < found[whose].index("private/quota-status")


def test_a_service_of_the_site_s_own_programs_is_asked_as_well() -> None:
    given = {"mail_domains": ["example.org"]}
    inputs = {
        "out.example.org": HostInput(["mail", "mail_submission"]),
        "in.example.org": HostInput(["mail", "mail_mx", "mail_store"]),
    }
    site = parse_site(given, inputs, compose.concerns().values())
    parts = compose.contributions("postfix", site, site.hosts["out.example.org"])
    said = Postfix(policies=[PolicyService("inet:127.0.0.1:10023", mail=("hosts",))])
    _main, services = postfix.configuration(site.hosts["out.example.org"], [*parts, ("one", said)], {})
    assert text_of(services["127.0.0.1:smtp/inet"].options["smtpd_recipient_restrictions"]).endswith(ASKED)
    assert ASKED not in str(services["submission/inet"].options)
    early = Postfix(policies=[PolicyService("inet:127.0.0.1:10023", stage="client", mail=("hosts",))])
    with pytest.raises(
        ComposeError, match="smtpd_client_restrictions permits mail before it would ask for concern one"
    ):
        postfix.configuration(site.hosts["out.example.org"], [*parts, ("one", early)], {})


@pytest.mark.parametrize("socket", ["127.0.0.1:8891", "inet:127.0.0.1", "unix:a b", "unix:", "inet:h:1, x=y"])
def test_a_socket_is_of_postfix_s_form(socket: str) -> None:
    for said in (Postfix(milters=[Milter(socket, "sign")]), Postfix(policies=[PolicyService(socket)])):
        with pytest.raises(ComposeError, match="concern one: socket .* must be inet:HOST:PORT or unix:PATH"):
            composed(one=said)


def test_two_concerns_in_one_slot_are_both_named() -> None:
    said = Postfix(policies=[PolicyService("unix:other", slot="quota")])
    with pytest.raises(ComposeError, match="concerns one and quota both fill slot quota"):
        composed(one=said)


def test_what_the_user_says_in_main_cf_counts_at_every_service_that_takes_mail() -> None:
    said = Postfix(milters=[Milter("unix:one", "sign")], policies=[PolicyService("unix:two", stage="data")])
    for own in (None, "inet:127.0.0.1:9"):
        main, services = composed({"smtpd_milters": own, "smtpd_data_restrictions": own and []}, one=said)
        assert main.get("smtpd_milters") == own
        for key in ("smtp/inet", "submission/inet", "submissions/inet"):
            assert "smtpd_milters" not in services[key].options


def test_a_service_with_a_list_of_its_own_asks_as_well() -> None:
    lists = {"smtpd_recipient_restrictions": "reject_unlisted_recipient, reject"}
    more = Service("smtpd", private="n", takes="world", options=lists)
    policy = Postfix(policies=[PolicyService("inet:127.0.0.1:10023")])
    _main, services = composed(one=policy, other=Postfix(services={"2525/inet": more}))
    words = text_of(services["2525/inet"].options["smtpd_recipient_restrictions"])
    assert words.startswith(f"reject_unlisted_recipient, {ASKED}, check_policy_service {{ unix:")
    assert words.endswith(", reject")


@pytest.mark.parametrize(
    ("options", "said", "sentence"),
    [
        (
            {"smtpd_recipient_restrictions": "permit_sasl_authenticated, reject"},
            Postfix(policies=[PolicyService("unix:two")]),
            "2525/inet: smtpd_recipient_restrictions permits mail before it would ask for concern one and concern q",
        ),
        (
            {"smtpd_milters": "inet:127.0.0.1:9"},
            Postfix(milters=[Milter("unix:one", "sign")]),
            "2525/inet has smtpd_milters of its own, and concern one wants its mail seen as well",
        ),
    ],
)
def test_a_service_that_would_pass_a_check_by_is_refused(
    options: dict[str, t.Any], said: Postfix, sentence: str
) -> None:
    more = Service("smtpd", private="n", takes="world", options=options)
    with pytest.raises(ComposeError, match=sentence):
        composed(one=said, other=Postfix(services={"2525/inet": more}))


@pytest.mark.parametrize("stage", ["client", "helo", "sender", "relay", "recipient", "data", "end_of_data"])
def test_each_stage_has_a_place_for_policy_services(stage: t.Any) -> None:
    main, _services = composed(one=Postfix(policies=[PolicyService("unix:two", stage=stage, mail=("world",))]))
    words = text_of(main[f"smtpd_{stage}_restrictions"])
    assert words.count("check_policy_service { unix:two, default_action=DUNNO }") == 1


def test_what_two_concerns_want_of_the_same_milter() -> None:
    both = Postfix(milters=iter([Milter("unix:a", "check"), Milter("unix:b", "check")]))
    one = Postfix(milters=[Milter("unix:a", "check")])
    found = milters_at(composed(x=both, y=one))["world"]
    assert found == [f"{{ unix:{name}, default_action=tempfail }}" for name in "ab"], "each is asked once"
    other = Postfix(milters=[Milter("unix:a", "check", "accept")])
    sentence = "milter, unix:a, unanswered: concern y wants 'tempfail', concern z wants 'accept'"
    with pytest.raises(ComposeError, match=sentence):
        composed(y=one, z=other)
    with pytest.raises(ComposeError, match="concern y: unanswered '451 {x' must be an action in one line"):
        composed(y=Postfix(policies=[PolicyService("unix:a", unanswered="451 {x")]))


def test_port_25_is_asked_through_the_daemon_before_it() -> None:
    front = Front(Service("postscreen", private="n", maxproc="1"), "smtpd/pass")
    before, after = (composed(**said) for said in ({}, {"postscreen": Postfix(fronts={"smtp/inet": front})}))
    assert serves(*before) == serves(*after) and serves(*after)


def test_a_login_does_not_pass_a_policy_service_by() -> None:
    """Users' ports permit whoever has logged in; what is asked before that is asked never too late."""
    main, _services = composed(one=Postfix(policies=[PolicyService("unix:two", stage="relay", mail=("users",))]))
    words = text_of(main["mua_relay_restrictions"])
    assert words.index("unix:two") < words.index("permit_sasl_authenticated")
