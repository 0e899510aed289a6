# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Forwarded mail: which senders are rewritten, who asks PostSRSd, and what the DNS needs."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import health
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose, zone
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import MB
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity import srs
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run import stored_secrets

ALONE = {"mail.example.org": HostInput()}
SEVERAL = {
    "mx.example.org": HostInput(("mail", "mail_mx")),
    "out.example.org": HostInput(("mail", "mail_submission")),
    "store.example.org": HostInput(("mail", "mail_store", "mail_directory")),
    "web.example.net": HostInput(("mail", "mail_client")),
}
OWN: dict[str, Any] = {"mail_srs_domain": "srs.example.org"}


def site_of(hosts: dict[str, HostInput] = ALONE, **said: Any) -> Site:
    given = {"mail_domains": ["example.org", "example.com"], "mail_dkim": False, **said}
    return parse_site(given, hosts, compose.concerns().values())


def plan(site: Site, program: str, name: str = "mail.example.org") -> dict[str, Any]:
    return compose.plan(program, site, site.hosts[name])


def files(site: Site, name: str = "mail.example.org") -> dict[str, Any]:
    found = plan(site, "postfix", name)["files"]
    return {file["path"].rpartition("/")[2]: file["content"] for file in found}


def transport(site: Site, sender: str) -> str:
    """What pcre_table(5) says of a sender: the first line that matches, in any case."""
    for line in files(site)["srs_senders"].splitlines():
        pattern, answer = re.fullmatch(r"/(.*)/ (.*)", line).groups()  # type: ignore[union-attr]
        if re.search(pattern, sender, re.IGNORECASE):
            return str(answer)
    return ""


@pytest.mark.parametrize(
    "sender", ["a@outside.example", "A.b+c=d/e@Sub.Example.Org", "x@xexample.org", "prvs=1=a@outside.example"]
)
def test_a_stranger_s_sender_is_rewritten(sender: str) -> None:
    assert transport(site_of(), sender) == "srs:[127.0.0.1]:958"


@pytest.mark.parametrize(
    "sender",
    ["anna@example.org", "ANNA@EXAMPLE.COM", "root@mail.example.org", "SRS0=x=y=z.example=a@example.org",
     "b@branch.example", "c@shop.example"],
)  # fmt: skip
def test_a_sender_of_the_site_stays(sender: str) -> None:
    site = site_of(mail_gateway={"branch.example": {"host": "10.0.0.5"}}, mail_srs_exempt=["shop.example"])
    assert transport(site, sender) == "DUNNO"


@pytest.mark.parametrize("sender", ["<>", "", '"a b"@outside.example', "outside.example", f"{'x' * 129}@o.example"])
def test_what_cannot_be_rewritten_goes_the_usual_way(sender: str) -> None:
    assert transport(site_of(), sender) == ""


def test_only_rewritten_addresses_are_looked_up() -> None:
    pattern, answer = re.fullmatch(r"/(.*)/ (.*)\n", files(site_of())["srs_recipients"]).groups()  # type: ignore[union-attr]
    assert answer == "$1"
    for good in ("SRS0=aB/+cdef=JR=o.example=a+b@example.org", "srs1=x=y==z@Example.Org"):
        assert re.search(pattern, good, re.IGNORECASE), good
    for other in ("SRS0=x@example.com", "srs@example.org", "SRS0=x@example.org.evil", "xSRS0=x@example.org", "SRS0=@",
                  "example.org", "@example.org"):  # fmt: skip
        assert not re.search(pattern, other, re.IGNORECASE), other


def test_the_domain_is_the_first_of_the_site_s_and_needs_no_records() -> None:
    site = site_of()
    main = files(site)["main.cf"]
    assert "virtual_alias_domains" not in main
    assert "-d example.org " in plan(site, "postsrsd")["files"][1]["content"]
    assert list(srs.dns(site, "example.org")) == [] and list(srs.dns_warnings(site)) == []


def test_a_domain_of_its_own_has_records_and_nobody_else_s_senders() -> None:
    site = site_of(**OWN)
    found = files(site)
    assert found["main.cf"]["virtual_alias_domains"] == "$virtual_alias_maps, srs.example.org"
    assert found["srs_domain"].startswith("srs.example.org\t550 ")
    assert transport(site, "SRS0=x@srs.example.org") == "DUNNO"
    text = zone.zones(site)["example.org.zone"]
    assert "srs.example.org. 3600 IN MX 10 mail.example.org.\n" in text
    assert 'srs.example.org. 3600 IN TXT "v=spf1 redirect=example.org"\n' in text
    assert "srs" not in zone.zones(site)["example.com.zone"]


def test_a_domain_outside_of_all_zones_is_said() -> None:
    (warning,) = srs.dns_warnings(site_of(mail_srs_domain="forward.example"))
    assert "forward.example" in warning and "v=spf1 redirect=example.org" in warning


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"mail_srs_domain": "mail.example.org"}, "mail_srs_domain.*mail.example.org.*name of a host"),
        (
            {"mail_srs_domain": "b.example", "mail_gateway": {"b.example": {"host": "10.0.0.5"}}},
            "mail_srs_domain.*b.example.*mail_gateway",
        ),
        ({"mail_srs_domain": "no domain"}, "mail_srs_domain"),
        ({"mail_srs_exempt": ["a@b.example"]}, "mail_srs_exempt"),
        ({"mail_srs": "perhaps"}, "mail_srs.*true or false"),
    ],
)
def test_wrong_values_are_refused(said: Mapping[str, Any], expected: str) -> None:
    with pytest.raises(SiteError, match=expected):
        site_of(**said)


def test_without_it_nothing_is_left() -> None:
    site = site_of(mail_srs=False, **OWN)
    assert plan(site, "postsrsd")["wanted"] is False
    assert "srs" not in repr(files(site))
    assert "srs" not in stored_secrets.secret_names(site)
    assert "srs" not in zone.zones(site)["example.org.zone"]


def test_hosts_that_send_have_it_with_one_secret() -> None:
    site = site_of(SEVERAL)
    assert stored_secrets.secret_names(site).count("srs") == 1
    wanted = {name for name in SEVERAL if plan(site, "postsrsd", name)["wanted"]}
    assert wanted == {"mx.example.org", "out.example.org"}
    secrets = {plan(site, "postsrsd", name)["files"][0]["content"] for name in wanted}
    assert secrets == {f"{site.secrets.get('srs')}\n"}
    assert "srs" in files(site, "out.example.org")["master.cf"].__repr__()
    assert "smtpd_sender_restrictions" not in files(site, "out.example.org")["main.cf"]
    assert "srs" not in repr(files(site, "store.example.org")) + repr(files(site, "web.example.net"))
    assert "/@web\\.example\\.net$/ DUNNO\n" in files(site, "mx.example.org")["srs_senders"]


def test_the_secret_is_root_s_alone_and_shown_nowhere() -> None:
    site = site_of()
    found = plan(site, "postsrsd")
    secret = site.secrets.get("srs")
    (file, unit) = found["files"]
    assert (file["mode"], file["owner"], file["secret"]) == ("0600", "root", True)
    assert secret not in unit["content"] and found["secrets"] == [secret]


def test_the_port_takes_mail_of_the_host_s_own_postfix_alone() -> None:
    found = plan(site_of(), "postfix")
    options = next(file for file in found["files"] if file["path"].endswith("master.cf"))["content"]
    listener = options["127.0.0.1:958/inet"]["options"]
    assert listener["smtpd_tls_req_ccert"] == "yes"
    assert listener["smtpd_client_restrictions"] == "permit_tls_all_clientcerts, reject"
    asked = [question for question in found["questions"] if question["arguments"].get("port") == 958]
    assert [question["kind"] for question in asked] == ["tls"], "it greets nobody without a certificate"
    assert not [shown for shown in found["serves"] if shown["port"] == 958]


def test_memory() -> None:
    site = site_of()
    assert srs.memory(site, site.hosts["mail.example.org"]).size == 5 * MB


class Tables:
    """A server of a table of tcp_table(5), at a port of loopback."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.answers = answers
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                link, _peer = self.socket.accept()
            except OSError:
                return
            with link:
                key = link.recv(4096).decode().strip().removeprefix("get ")
                link.sendall(f"{self.answers.get(key, '500 not found')}\n".encode())


@pytest.fixture
def tables() -> Iterator[list[Tables]]:
    made: list[Tables] = []
    yield made
    for one in made:
        one.socket.close()


ADDRESS = "somebody@outside.example"


@pytest.mark.parametrize(
    ("forward", "reverse", "verdict"),
    [
        ({ADDRESS: "200 SRS0=x@s.example"}, {"SRS0=x@s.example": f"200 {ADDRESS}"}, "yes"),
        ({ADDRESS: f"200 {ADDRESS}"}, {ADDRESS: f"200 {ADDRESS}"}, "no"),
        ({ADDRESS: "200 SRS0=x@s.example"}, {}, "no"),
        ({}, {}, "no"),
    ],
)
def test_the_health_check_asks_for_the_way_there_and_back(
    tables: list[Tables], forward: Mapping[str, str], reverse: Mapping[str, str], verdict: str
) -> None:
    tables += [Tables(forward), Tables(reverse)]
    check = {"kind": "srs", "arguments": {"forward": tables[0].port, "reverse": tables[1].port}}
    assert health.run([check])[0].verdict == verdict


def test_the_health_check_of_a_daemon_that_is_down() -> None:
    gone = socket.create_server(("127.0.0.1", 0))
    port = gone.getsockname()[1]
    gone.close()
    check = {"kind": "srs", "arguments": {"forward": port, "reverse": port}}
    assert health.run([check])[0].verdict == "silent"
