# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host's certificates from the first run on: the controller's side and the host's, with the real openssl."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._tls.commands import CertificateError
from ansible_collections.postamt.mail.plugins.module_utils._tls.store import Store
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Refused
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import certificates
from ansible_collections.postamt.mail.plugins.plugin_utils._run import pki
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State

HOST = "mx.example.org"


def run(arguments: list[str]) -> tuple[int, str, str]:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def plan(hosts: dict[str, HostInput] | None = None, **variables: t.Any) -> compose.Plan:
    given = {"mail_domains": ["example.org"], "mail_server_name": "mail.example.org", **variables}
    site = parse_site(given, hosts or {HOST: HostInput()}, compose.concerns().values())
    return compose.plan("certificates", site, site.hosts[HOST])


@dataclasses.dataclass
class Lab:
    """A controller's state, a host's folder, and the calls that went between them."""

    state: State
    store: Store
    calls: list[str] = dataclasses.field(default_factory=list)

    def call(self, state: str, **arguments: t.Any) -> dict[str, t.Any]:
        self.calls.append(state)
        if state == "requested":
            return {"requests": self.store.requested(**arguments)}
        self.store.installed(**arguments)
        return {}

    def run(self, *, check_mode: bool = False, given: t.Any = None, **variables: t.Any) -> dict[str, t.Any]:
        self.calls.clear()
        wanted = plan(**variables)
        seen = self.store.seen()
        return certificates.provision(wanted, self.state, given or {}, seen, self.call, check_mode=check_mode)

    def text(self, *parts: str) -> str:
        return Path(self.store.folder, *parts).read_text()

    def leaf(self, name: str) -> t.Any:
        return pki.from_pem(self.text(name, "chain.pem"))[0]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    store = Store(str(tmp_path / "host" / "postamt" / "tls"), os.getgid(), run, os.getuid())
    os.mkdir(tmp_path / "host")
    return Lab(State(str(tmp_path / "state")), store)


def tree(folder: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


# What a host shall have


def test_every_host_has_a_public_and_an_internal_certificate() -> None:
    wanted = plan()["certificates"]
    assert wanted["public"]["names"] == ("mail.example.org", HOST)
    assert wanted["internal"]["names"] == (HOST, "localhost", "127.0.0.1", "::1")
    assert {item["key_type"] for item in wanted.values()} == {"ec"}
    assert plan()["packages"] == ["openssl", "ssl-cert"]


def test_names_and_key_are_the_users_choice() -> None:
    wanted = plan(mail_certificates={"public": {"names": ["a.example.org"], "key_type": "rsa"}, "sni": {}})
    assert wanted["certificates"]["public"]["names"] == ("a.example.org",)
    assert wanted["certificates"]["public"]["key_type"] == "rsa"
    assert sorted(wanted["certificates"]) == ["internal", "public", "sni"]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"public": {"certificate": "a"}}, "mail_certificates.public.key: is required where certificate is a file"),
        ({"public": {"key": "a"}}, "mail_certificates.public.certificate: is required where key or chain is a file"),
        ({"internal": {"names": ["a.example.org"]}}, "mail_certificates.internal: takes key_type only"),
        ({"../etc": {}}, "mail_certificates.../etc: must be a name of lower case letters"),
        ({"public": {"key_type": "dsa"}}, "mail_certificates.public.key_type is 'dsa': must be one of ec, rsa"),
        ({"public": {"names": ["a.b.c", "a.b.c"]}}, "mail_certificates.public.names is 'a.b.c': is listed twice"),
        ({"public": {"certificate": "a", "key": "b", "hook": True}}, "mail_certificates.public.hook: cannot be where"),
        ({"public": {"names": ["a.b.link.internal"]}}, "names is 'a.b.link.internal': must not end in link.internal"),
        ({"internal": {"hook": True}}, "mail_certificates.internal: takes key_type only"),
    ],
)
def test_what_cannot_be_is_refused(said: t.Any, sentence: str) -> None:
    with pytest.raises(SiteError) as caught:
        plan(mail_certificates=said)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"mail_server_name": "mail.link.internal"}, "mail_server_name is 'mail.link.internal'"),
        ({"mail_server_name": "link.internal"}, "mail_server_name is 'link.internal'"),
        (
            {"mail_acme": {"public": {"email": "a@b.c", "agree_to_terms": True, "names": ["a.b.link.internal"]}}},
            "mail_acme.public.names is 'a.b.link.internal'",
        ),
    ],
)
def test_no_name_is_one_that_ends_of_links_have(said: dict[str, t.Any], where: str) -> None:
    with pytest.raises(SiteError) as caught:
        plan(**said)
    assert f"{where}: must not end in link.internal: these names are for the links" in str(caught.value)


def test_days_that_cannot_be_are_refused() -> None:
    with pytest.raises(SiteError, match="mail_certificates_days is 30: must be more than mail_certificates_renew_days"):
        plan(mail_certificates_days=30)


# From nothing to served, and nothing more


def test_a_first_run_issues_and_a_second_does_nothing(lab: Lab) -> None:
    predicted = lab.run(check_mode=True)
    assert (lab.calls, tree(lab.store.folder), os.path.exists(lab.state.folder)) == ([], [], False)
    made = lab.run()
    assert lab.calls == ["requested", "installed"]
    assert len(predicted["actions"]) == len(made["actions"]) == 4
    assert predicted["actions"][2:] == [
        "would issue certificate internal for mx.example.org, localhost, 127.0.0.1, ::1, since there is none",
        "would issue certificate public for mail.example.org, mx.example.org, since there is none",
    ]
    for name in ("public", "internal"):
        assert os.stat(Path(lab.store.folder, name, "key.pem")).st_mode & 0o777 == 0o640
    assert lab.text("ca.pem") == (lab.state.read("ca.pem") or b"").decode()
    assert ".requested" not in tree(lab.store.folder)
    again = lab.run()
    assert (again["changed"], again["actions"], lab.calls) == (False, [], [])


def test_a_name_in_another_domain_gives_the_ca_more_to_sign_and_no_new_key(lab: Lab) -> None:
    lab.run()
    before = lab.text("ca.pem")
    more: dict[str, t.Any] = {"mail_certificates": {"public": {"names": ["x.example.net"]}}}
    assert "would let the site's CA sign for x.example.net too" in lab.run(check_mode=True, **more)["actions"]
    made = lab.run(**more)
    assert made["actions"][:2] == ["let the site's CA sign for x.example.net too", "wrote the CA's certificate"]
    assert len(made["actions"]) == 3, "internal, of the same key, stays"
    assert pki.from_pem(lab.text("ca.pem"))[0].public_key() == pki.from_pem(before)[0].public_key()
    assert lab.run(**more)["actions"] == []


def test_the_diff_is_what_a_person_wants_to_know(lab: Lab) -> None:
    diff = lab.run()["diff"]
    assert diff[1]["before"] == ""
    assert diff[1]["after"].splitlines()[0] == "names: mail.example.org, mx.example.org"
    assert "PRIVATE" not in str(diff)
    predicted = lab.run(check_mode=True, mail_certificates={"sni": {"key_type": "rsa"}})["diff"]
    made = lab.run(mail_certificates={"sni": {"key_type": "rsa"}})["diff"]
    assert predicted == made


def test_a_renewal_keeps_the_key_and_another_type_makes_a_new_one(lab: Lab) -> None:
    lab.run()
    key, before = lab.text("public", "key.pem"), lab.leaf("public")
    renewed = lab.run(mail_certificates_days=900, mail_certificates_renew_days=800)
    assert [action.partition(", since")[2][:28] for action in renewed["actions"]] == [
        " the one there expires on 20"
    ] * 2
    assert lab.text("public", "key.pem") == key
    assert lab.leaf("public").not_valid_after_utc > before.not_valid_after_utc
    lab.run(mail_certificates={"public": {"key_type": "rsa"}})
    assert lab.text("public", "key.pem") != key
    assert pki.key_type(lab.leaf("public").public_key()) == "rsa"
    assert len(os.listdir(Path(lab.store.folder, ".generations"))) == 2


def test_a_host_whose_last_link_goes_keeps_the_name_of_its_links_until_the_next_renewal(lab: Lab) -> None:
    """Its links go at the end of the run, and until then the hosts at their other ends verify this name."""
    functions = ["mail", "mail_mx", "mail_submission", "mail_store"]
    linked = {HOST: HostInput(functions), "filter.example.org": HostInput(["mail", "mail_filter"])}
    alone = {HOST: HostInput([*functions, "mail_filter"])}
    lab.run(hosts=alone)
    assert "is for mx.example.org, localhost" in lab.run(hosts=linked)["actions"][0], "a host that gets links needs it"
    before = lab.text("internal", "chain.pem")
    assert f"{HOST}.link.internal" in pki.names_of(lab.leaf("internal"))
    assert not lab.run(hosts=alone)["changed"]
    assert lab.text("internal", "chain.pem") == before
    lab.run(hosts=alone, mail_certificates_days=900, mail_certificates_renew_days=800)
    assert f"{HOST}.link.internal" not in pki.names_of(lab.leaf("internal"))


def test_what_left_the_inventory_leaves_the_host(lab: Lab) -> None:
    lab.run(mail_certificates={"sni": {}})
    assert lab.run(check_mode=True)["actions"] == ["would remove certificate sni"]
    assert lab.run()["actions"] == ["removed certificate sni"]
    assert sorted(os.listdir(lab.store.folder)) == [".generations", "ca.pem", "internal", "public"]
    assert len(os.listdir(Path(lab.store.folder, ".generations"))) == 2


def test_damage_is_repaired(lab: Lab) -> None:
    lab.run()
    os.chmod(Path(lab.store.folder, "public", "key.pem"), 0o644)
    assert "since owner or mode of the files there was another" in lab.run()["actions"][0]
    Path(lab.store.folder, "public", "key.pem").write_text("rubbish")
    assert "key and certificate there do not match" in lab.run()["actions"][0]
    os.unlink(Path(lab.store.folder, "ca.pem"))
    assert lab.run()["actions"] == ["wrote the CA's certificate"]
    assert lab.run()["actions"] == []


def test_a_reader_never_meets_a_pair_that_does_not_match(lab: Lab) -> None:
    """The old generation is complete until the link is renamed, and the new one is before it."""
    lab.run()
    link = Path(lab.store.folder, "public")
    old = os.readlink(link)
    lab.store.requested([{"name": "public", "key_type": "rsa"}])  # and killed here
    assert os.readlink(link) == old
    assert lab.store.seen()["served"]["public"]["matches"]
    chain = lab.text("public", "chain.pem")
    with pytest.raises(CertificateError, match="certificate public: the key is not the certificate's"):
        lab.store.installed(lab.text("ca.pem"), [{"name": "public", "chain": chain}], [])
    assert os.readlink(link) == old
    assert lab.run()["actions"] == []


def test_what_a_killed_run_left_is_swept_away(lab: Lab) -> None:
    lab.run()
    for left in ("public.left", "internal.left"):
        os.mkdir(Path(lab.store.folder, ".generations", left))
    Path(lab.store.folder, ".generations", ".ca").write_text("")
    os.symlink("nowhere", Path(lab.store.folder, ".generations", ".link"))
    lab.run(mail_certificates={"public": {"names": ["x.example.org"]}})
    assert len(os.listdir(Path(lab.store.folder, ".generations"))) == 2


def test_a_folder_of_somebody_else_stays(lab: Lab) -> None:
    os.makedirs(Path(lab.store.folder, "public"))
    with pytest.raises(CertificateError, match="public is not of this collection's making: move it away"):
        lab.run()
    assert os.listdir(Path(lab.store.folder, ".generations")) != ["public"]


def test_openssls_own_words_are_told(lab: Lab) -> None:
    with pytest.raises(CertificateError, match="openssl req: "):
        lab.store.openssl("req", "-new", "-key", "/nonexistent")


# One CA a site


# Files that the user supplies


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A self-signed certificate and its key, as openssl makes them."""
    paths = {name: str(tmp_path / f"{name}.pem") for name in ("certificate", "key")}
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=mail.example.org"]
        + ["-addext", "subjectAltName=DNS:mail.example.org", "-out", paths["certificate"], "-keyout", paths["key"]],
        check=True, capture_output=True,
    )  # fmt: skip
    return paths


def read(path: str) -> bytes:
    if not Path(path).exists():
        raise Refused("there is none")
    return Path(path).read_bytes()


def test_supplied_files_are_served(lab: Lab, files: dict[str, str]) -> None:
    said: dict[str, t.Any] = {"mail_certificates": {"public": files}}
    given = certificates.supplied(plan(**said), read)
    answer = lab.run(given=given, **said)
    assert "installed certificate public for mail.example.org, since there is none" in answer["actions"]
    assert answer["warnings"] == [
        f"{files['certificate']} expires on {given['public'].expires:%Y-%m-%d}: replace it in time"
    ]
    assert lab.leaf("public") == pki.from_pem(Path(files["certificate"]).read_text())[0]
    assert pki.names_of(lab.leaf("internal"))[1] == "localhost"
    again = lab.run(given=given, **said)
    assert (again["changed"], len(again["warnings"])) == (False, 1)
    assert [a.rpartition("since ")[2] for a in lab.run()["actions"]] == ["the one there was issued by mail.example.org"]
    back = lab.run(given=given, **said)
    assert [a.rpartition("since ")[2] for a in back["actions"]] == ["the file is another"]


def test_every_problem_of_every_file_is_listed_with_its_path(files: dict[str, str], tmp_path: Path) -> None:
    said = {
        "public": {**files, "names": ["mail.example.org", "imap.example.org"], "chain": str(tmp_path / "none.pem")},
        "sni": {**files, "names": ["imap.example.org"], "key": files["certificate"]},
    }
    with pytest.raises(SiteError) as caught:
        certificates.supplied(plan(mail_certificates=said), read)
    found = [(one.where, one.value, one.allowed) for one in caught.value.problems]
    assert ("mail_certificates.public.chain", f"{tmp_path}/none.pem", "there is none") in found
    assert ("mail_certificates.sni.key", files["certificate"], "must be a private key in PEM") in found
    place = ("mail_certificates.sni.certificate", files["certificate"])
    (names,) = [allowed for where, value, allowed in found if (where, value) == place]
    assert names.startswith("must be for imap.example.org")


def test_the_program_has_no_settings_of_its_own() -> None:
    site = parse_site({"mail_domains": ["example.org"]}, {HOST: HostInput()}, compose.concerns().values())
    with pytest.raises(ComposeError, match="no settings of its own"):
        compose.plan("certificates", site, site.hosts[HOST], {"settings": {}})


# Certificates that a program on the host brings


def bring(lab: Lab, folder: Path, days: int = 90) -> None:
    """Have a hook bring a certificate of another CA."""
    chain, key = str(folder / "hook.pem"), str(folder / "hook.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(days), "-subj", "/CN=elsewhere"]
        + ["-addext", "subjectAltName=DNS:mail.example.org", "-out", chain, "-keyout", key],
        check=True, capture_output=True,
    )  # fmt: skip
    assert lab.store.replaced("public", chain, key, {"public": ["mail.example.org"]})


def test_a_stand_in_is_issued_until_a_hook_brings_something(lab: Lab, tmp_path: Path) -> None:
    said: dict[str, t.Any] = {"mail_certificates": {"public": {"hook": True}}}
    assert "issued certificate public for mail.example.org, since there is none" in lab.run(**said)["actions"]
    assert not lab.run(**said)["changed"]
    bring(lab, tmp_path)
    assert not lab.run(**said)["changed"]
    assert [a.rpartition("since ")[2] for a in lab.run()["actions"]] == ["the one there was issued by elsewhere"]


def test_what_a_hook_brought_is_replaced_when_it_has_expired(lab: Lab, tmp_path: Path, monkeypatch: t.Any) -> None:
    said: dict[str, t.Any] = {"mail_certificates": {"public": {"hook": True}}}
    lab.run(**said)
    bring(lab, tmp_path, days=9)
    later = pki.now() + datetime.timedelta(days=10)
    monkeypatch.setattr(pki, "now", lambda: later)
    assert "the one there has expired on" in lab.run(**said)["actions"][0]
    assert not lab.run(**said)["changed"]


def test_a_stand_in_of_a_lost_ca_is_one_still(lab: Lab, tmp_path: Path) -> None:
    said: dict[str, t.Any] = {"mail_certificates": {"public": {"hook": True}}}
    lab.run(**said)
    os.unlink(os.path.join(lab.store.folder, "ca.pem"))
    lab.state = State(str(tmp_path / "new"))
    assert len([action for action in lab.run(**said)["actions"] if action.endswith("since the site's CA is new")]) == 2


def test_what_would_be_reloaded_is_predicted(lab: Lab) -> None:
    lab.run()
    wanted = plan(mail_certificates_days=900, mail_certificates_renew_days=800)
    seen = {**lab.store.seen(), "shown_by": {"public": ["Postfix", "Dovecot"], "internal": ["slapd"]}}
    answer = certificates.provision(wanted, lab.state, {}, seen, lab.call, check_mode=True)
    assert answer["actions"][-3:] == ["would reload Dovecot", "would reload Postfix", "would reload slapd"]


ACME = {"email": "postmaster@example.org", "agree_to_terms": True}
DNS = {"server": "192.0.2.53", "key_name": "acme", "key_secret": "YWNtZS1zZWNyZXQtMQ=="}


def acme_files(**more: t.Any) -> dict[str, dict[str, t.Any]]:
    found = plan(mail_acme={"public": {**ACME, **more}})["files"]
    return {item["path"]: item for item in found if "acme" in item["path"] or "obtain" in item["path"]}


def test_acme_asks_for_the_servers_name_and_is_off_unless_wanted() -> None:
    wanted = plan(mail_acme={"public": ACME})
    assert wanted["acme"] == ["public"] and "certbot" in wanted["packages"]
    assert wanted["certificates"]["public"]["names"] == ("mail.example.org",)
    assert wanted["certificates"]["public"]["elsewhere"]
    assert {"name": "postamt-acme.timer", "running": True} in wanted["units"]
    off = plan()
    assert off["packages"] == ["openssl", "ssl-cert"] and off["acme"] == []
    assert "postamt-acme.timer" not in [unit["name"] for unit in off["units"]]
    assert not [item for item in off["files"] if "acme" in item["path"]]


def test_the_call_of_the_acme_client() -> None:
    program = acme_files()["/usr/local/lib/postamt/obtain-certificates"]["content"]
    assert "(obtain public --standalone --server https://acme-v02.api.letsencrypt.org/directory " in program
    assert " --email postmaster@example.org --domain mail.example.org) || status=1\n" in program
    more = {"challenge": "dns-01", "dns": DNS, "ca_file": "/etc/my ca.pem", "names": ["a.example.org", "b.example.org"]}
    found = acme_files(**more)
    program = found["/usr/local/lib/postamt/obtain-certificates"]["content"]
    assert "(export REQUESTS_CA_BUNDLE='/etc/my ca.pem'; obtain public --dns-rfc2136 " in program
    assert " --domain a.example.org --domain b.example.org) || status=1\n" in program
    key = found["/etc/postamt/acme/public.ini"]
    assert key["secret"] and key["mode"] == "0600" and "dns_rfc2136_secret = YWNtZS1zZWNyZXQtMQ==\n" in key["content"]
    assert [path for path, item in found.items() if DNS["key_secret"] in item["content"]] == [key["path"]]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"agree_to_terms": False}, "mail_acme.public.agree_to_terms is False: must be true"),
        ({"server": "ca.example.org"}, "mail_acme.public.server is 'ca.example.org': must be the URL"),
        (
            {"server": "http://ca.example.org/d"},
            "is 'http://ca.example.org/d': must be the URL of an ACME directory: https",
        ),
        ({"challenge": "dns-01"}, "mail_acme.public.dns: is required for challenge dns-01, and for that one only"),
        ({"dns": DNS}, "mail_acme.public.dns: is required for challenge dns-01, and for that one only"),
        ({"challenge": "dns-01", "dns": {**DNS, "key_name": "a b"}}, "mail_acme.public.dns.key_name: must be"),
        ({"challenge": "dns-01", "dns": {**DNS, "key_secret": "?"}}, "mail_acme.public.dns.key_secret: must be a key"),
        ({"challenge": "dns-01", "dns": {**DNS, "port": 0}}, "mail_acme.public.dns.port is 0: must be from 1 to 65535"),
        ({"challenge": "dns-01", "dns": {**DNS, "wait": -1}}, "mail_acme.public.dns.wait is -1: must be from 0 to"),
    ],
)
def test_acme_that_cannot_be_is_refused(said: t.Any, sentence: str) -> None:
    with pytest.raises(SiteError) as caught:
        plan(mail_acme={"public": {**ACME, **said}})
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("name", "more", "sentence"),
    [
        ("internal", {}, r"mail_acme.internal: is no certificate that ACME may bring \(known: public\)"),
        ("sni", {}, r"mail_acme.sni: is no certificate"),
        ("public", {"public": {"hook": True}}, "mail_acme.public: must not be set where mail_certificates.public has"),
    ],
)
def test_acme_for_what_it_may_not_bring_is_refused(name: str, more: t.Any, sentence: str) -> None:
    with pytest.raises(ComposeError, match=sentence):
        plan(mail_acme={name: ACME}, mail_certificates=more)


def test_what_acme_has_not_brought_yet_is_known(lab: Lab, tmp_path: Path) -> None:
    wanted = plan(mail_acme={"public": ACME})
    assert certificates.stand_ins(wanted, lab.store.seen()) == ["public"]
    lab.run(mail_acme={"public": ACME})
    assert certificates.stand_ins(wanted, lab.store.seen()) == ["public"]
    bring(lab, tmp_path)
    assert certificates.stand_ins(wanted, lab.store.seen()) == []


def test_the_command_runs_with_nothing_but_what_the_host_gets(tmp_path: Path) -> None:
    place = "/usr/local/lib/postamt"
    for file in plan()["files"]:
        if file["path"].startswith(f"{place}/") or file["path"] == certificates.COMMAND:
            assert "ansible_collections" not in file["content"]
            path = Path(f"{tmp_path}{file['path']}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["content"].replace(f'"{place}"', f'"{tmp_path}{place}"'))
    code, out, _err = run([sys.executable, "-IBS", f"{tmp_path}{certificates.COMMAND}", "warn", "--help"])
    assert (code, out.split()[:3]) == (0, ["usage:", "postamt-certificates", "warn"])


def test_what_is_replaced_first_needs_nothing_that_comes_later() -> None:
    """A run may be killed between two files, and the command be called then."""
    found = [file for file in plan()["files"] if file["path"].startswith("/usr/local/lib/postamt/")]
    names = [Path(file["path"]).stem for file in found]
    for position, file in enumerate(found):
        used = re.findall(r"(?m)^(?:from (\w+) )?import ([\w, ]+)", file["content"])
        words = {word for module, listed in used for word in ([module] if module else re.split(r"\W+", listed))}
        assert words & set(names) <= set(names[:position])


# Keys that the DNS names


@dataclasses.dataclass
class Bound:
    """A host of which other servers know the key: a run with the keys that may follow."""

    lab: Lab
    given: t.Any = None

    def run(self, *following: str, check_mode: bool = False, **variables: t.Any) -> dict[str, t.Any]:
        keys = {"public": list(following)}
        store = self.lab.store
        Path(store.bound).write_text(json.dumps(keys))
        wanted = {**plan(**variables), "next_keys": keys}
        given = self.given or {}
        return certificates.provision(wanted, self.lab.state, given, store.seen(), self.lab.call, check_mode=check_mode)

    def key(self) -> str:
        return pki.key_digest(self.lab.text("public", "chain.pem"))


@pytest.fixture
def bound(lab: Lab, tmp_path: Path) -> Bound:
    lab.run()
    lab.store.bound = str(tmp_path / "next-keys.json")
    return Bound(lab)


RSA: dict[str, t.Any] = {"mail_certificates": {"public": {"key_type": "rsa"}}}


def test_another_key_type_waits_until_others_know_the_key(bound: Bound) -> None:
    key = bound.key()
    for check_mode in (True, False):
        refused = bound.run(check_mode=check_mode, **RSA)
        assert refused["failed"] and "postamt-certificates next-key --type rsa" in refused["msg"]
    assert bound.key() == key
    following = bound.lab.store.prepared("public", "rsa")
    assert bound.run(**RSA)["failed"]
    assert bound.run(following, check_mode=True, **RSA)["changed"]
    taken = bound.run(following, **RSA)
    assert taken["changed"] and bound.key() == following
    assert not bound.run(following, **RSA)["changed"]


def test_a_key_of_the_same_type_follows_too(bound: Bound) -> None:
    following = bound.lab.store.prepared("public", "ec")
    assert not bound.run()["changed"]
    taken = bound.run(following)
    names = f"mail.example.org, {HOST}"
    assert taken["actions"] == [f"issued certificate public for {names}, since others know its next key now"]
    assert bound.key() == following
    assert not bound.run(following)["changed"]


def test_a_renewal_is_no_change_of_the_key(bound: Bound) -> None:
    key = bound.key()
    assert bound.run(mail_certificates={"public": {"names": ["mail.example.org"]}})["changed"]
    assert bound.key() == key


def test_a_file_with_another_key_waits(bound: Bound, files: dict[str, str]) -> None:
    key = bound.key()
    said: dict[str, t.Any] = {"mail_certificates": {"public": files}}
    bound.given = certificates.supplied(plan(**said), read)
    digest = pki.key_digest(bound.given["public"].chain)
    for check_mode in (True, False):
        refused = bound.run(check_mode=check_mode, **said)
        assert refused["msg"].startswith(f"mail_certificates.public.certificate has a new key (SHA-256 {digest}). ")
    assert bound.key() == key
    assert bound.run(digest, **said)["changed"]
    assert bound.key() == digest


def test_a_lost_key_is_replaced(bound: Bound) -> None:
    Path(bound.lab.store.folder, "public", "key.pem").unlink()
    for check_mode in (True, False):
        said = bound.run(check_mode=check_mode)
        (warning,) = said["warnings"]
        assert said["changed"] and warning.startswith("this host has lost the key of certificate public, and the DNS")
    assert bound.run()["warnings"] == []
    assert bound.lab.store.matches(f"{bound.lab.store.folder}/public")


def test_a_new_host_has_lost_its_key_unless_it_brings_one_that_others_know(
    bound: Bound, files: dict[str, str], tmp_path: Path
) -> None:
    said: dict[str, t.Any] = {"mail_certificates": {"public": files}}
    bound.given = certificates.supplied(plan(**said), read)
    digest = pki.key_digest(bound.given["public"].chain)
    Path(bound.lab.store.folder, "public").unlink()
    assert "has lost the key of certificate public" in " ".join(bound.run(check_mode=True, **said)["warnings"])
    assert "has lost" not in " ".join(bound.run(digest, **said)["warnings"])
