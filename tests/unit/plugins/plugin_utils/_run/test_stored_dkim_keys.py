# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which keys a run makes or takes over, where it keeps them, and what no run does to them."""

from __future__ import annotations

import functools
import json
import stat
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.zone import warnings, zones
from ansible_collections.postamt.mail.plugins.plugin_utils._model.dkim_keys import DomainKeys, KeySet, new_set
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain
from ansible_collections.postamt.mail.plugins.plugin_utils._run import stored_dkim_keys as stored
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import SECRETS_FILE, State, StateError

ORG, NET = Domain("example.org"), Domain("example.net")


@functools.cache
def keys(date: str = "20260101") -> KeySet:
    return new_set(date)


@pytest.fixture
def at(derived: Callable[..., Site], state: State) -> Callable[..., Site]:
    """Return the site as a run derives it whose state is in `state`."""
    return functools.partial(derived, Path(state.folder))


def file(state: State) -> Path:
    return Path(state.path(stored.DKIM_FILE))


def put(state: State, **named: DomainKeys) -> None:
    stored.change(state, lambda _known: {Domain(f"example.{name}"): item for name, item in named.items()})


def test_the_first_run_makes_keys_and_the_others_keep_them(at: Callable[..., Site], state: State) -> None:
    first = at(mail_domains=[ORG, NET])
    assert stat.S_IMODE(file(state).stat().st_mode) == 0o600
    assert first.dkim_keys == stored.read(state)
    assert first.dkim_keys[ORG].signing.keys != first.dkim_keys[NET].signing.keys
    before = file(state).stat().st_ino
    assert at(mail_domains=[ORG, NET]).dkim_keys == first.dkim_keys
    assert file(state).stat().st_ino == before  # not even written again


def test_a_domain_that_leaves_and_comes_back_has_its_keys(at: Callable[..., Site], state: State) -> None:
    first = at(mail_domains=[ORG, NET])
    assert set(at(mail_domains=[ORG]).dkim_keys) == {ORG}
    assert at(mail_domains=[ORG, NET]).dkim_keys == first.dkim_keys


@pytest.mark.parametrize("known", [False, True])
def test_check_mode_writes_nothing_and_its_records_are_not_for_the_dns(
    at: Callable[..., Site], state: State, known: bool
) -> None:
    if known:
        put(state, org=DomainKeys(keys()))
    site = at(check_mode=True, mail_domains=[ORG, NET])
    assert file(state).exists() is known
    assert (site.dkim_keys[ORG].kept, site.dkim_keys[NET].kept) == (known, False)
    shown = zones(site)
    assert ("_domainkey" in shown[f"{ORG}.zone"]) is known
    assert "_domainkey" not in shown[f"{NET}.zone"]
    lacking = "example.net" if known else "example.org, example.net"
    assert any(f"have no DKIM records of {lacking}: the next run" in text for text in warnings(site))


def test_the_zone_files_have_the_records_of_all_sets(at: Callable[..., Site], state: State) -> None:
    put(state, org=DomainKeys(keys(), next=keys("20260202"), former=keys("20250101")))
    site = at()
    lines = [line for line in zones(site)[f"{ORG}.zone"].splitlines() if "_domainkey" in line]
    assert len(lines) == 6 and all(line.count('"') == (4 if "k=rsa" in line else 2) for line in lines)
    assert not [text for text in warnings(site) if "DKIM" in text]


@pytest.mark.parametrize("more", [{"mail_dkim": False}, {"mail_dkim": "no"}])
def test_who_signs_nothing_gets_no_keys(at: Callable[..., Site], state: State, more: dict[str, t.Any]) -> None:
    site = at(**more)
    assert not file(state).exists()
    assert "_domainkey" not in str(zones(site))


def test_a_new_file_is_encrypted_as_the_passwords_are(at: Callable[..., Site], state: State) -> None:
    vault = VaultLib([("default", VaultSecret(b"open-sesame"))])
    place = Path(state.path(SECRETS_FILE))
    place.parent.mkdir(mode=0o700)
    place.write_bytes(vault.encrypt(b"mail_generated_passwords: {}\n", VaultSecret(b"open-sesame")))
    locked = State(state.folder, vault)
    put(locked, org=DomainKeys(keys()))
    assert file(state).read_bytes().startswith(b"$ANSIBLE_VAULT;")
    put(locked, net=DomainKeys(keys()))
    assert file(state).read_bytes().startswith(b"$ANSIBLE_VAULT;") and set(stored.read(locked)) == {ORG, NET}
    with pytest.raises(StateError, match="encrypted with ansible-vault and no vault secret"):
        stored.read(state)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "must be a mapping in JSON"),
        ("secret-1", "must be a mapping in JSON"),
        ("[]", "must be a mapping in JSON"),
        ("[" * 99999, "must be a mapping in JSON"),
        ('{"not a domain": {}}', "'not a domain': the domain's keys must be a mapping"),
        ('{"example.org": "secret-1"}', "'example.org': the domain's keys must be a mapping with the keys signing"),
        ('{"example.org": {"signing": null, "next": null, "former": null}}', "signing must not be null"),
    ],
)
def test_a_file_that_is_broken_ends_the_run_and_stays(
    at: Callable[..., Site], state: State, content: str, sentence: str
) -> None:
    file(state).parent.mkdir(mode=0o700)
    file(state).write_text(content)
    with pytest.raises(StateError, match=sentence) as refused:
        at()
    assert "secret-1" not in str(refused.value) and "dkim.json" in str(refused.value)
    assert file(state).read_text() == content


def test_a_domain_that_is_there_twice_is_refused(state: State) -> None:
    put(state, org=DomainKeys(keys()))
    data = json.loads(file(state).read_text())
    file(state).write_text(json.dumps({**data, "Example.ORG.": data[ORG]}))
    with pytest.raises(StateError, match="'Example.ORG.': the domain is there twice"):
        stored.read(state)


def test_what_another_run_has_made_meanwhile_is_kept(
    at: Callable[..., Site], state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = DomainKeys(keys())
    make = stored.new_sets

    def slow(*given: t.Any) -> t.Any:
        put(state, org=theirs)
        return make(*given)

    monkeypatch.setattr(stored, "new_sets", slow)
    site = at(mail_domains=[ORG, NET])
    assert site.dkim_keys[ORG] == theirs and site.dkim_keys == stored.read(state)


def test_of_many_domains_it_is_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(stored, "new_set", lambda date, taken: KeySet(date, ()))
    many: dict[Domain, tuple[str, ...]] = {Domain(f"d{number}.example"): () for number in range(1000)}
    assert [name for name, _keys in stored.new_sets(many, said.append)] == list(many)
    assert said == ["making DKIM keys for 1000 domains"]
    list(stored.new_sets({ORG: ()}, said.append))
    assert len(said) == 1


def test_deployed_is_what_the_run_has_derived_and_nothing_newer(at: Callable[..., Site], state: State) -> None:
    site = at(mail_domains=[ORG, NET])
    assert stored.undated(site, ["other.example.org"]) == {}
    seen = stored.undated(site, site.hosts)
    assert set(seen) == {ORG, NET}
    assert seen == json.loads(json.dumps(seen))  # it travels in a file
    put(state, net=site.dkim_keys[NET].published(keys(), 1).signed())  # while the run was at work
    stored.mark_deployed(state, seen, 500)
    known = stored.read(state)
    assert (known[ORG].signing.since, known[NET].signing.since) == (500, None)
    stored.mark_deployed(state, seen, 900)
    assert stored.read(state)[ORG].signing.since == 500
    assert set(stored.undated(at(mail_domains=[ORG, NET]), site.hosts)) == {NET}


def existing(tmp_path: Path, content: str | None = None, **more: t.Any) -> dict[str, t.Any]:
    """Return variables for a domain with a key, in a file beside the inventory."""
    text = keys().keys[0].private if content is None else content
    (tmp_path / "mail.key").write_text(text)
    return {"mail_dkim_existing": {ORG: [{"selector": "mail", "key_file": "mail.key", **more}]}}


def test_a_key_from_elsewhere_signs_from_the_first_run_on(
    at: Callable[..., Site], state: State, tmp_path: Path
) -> None:
    site = at(mail_domains=[ORG, NET], **existing(tmp_path))
    (key,) = site.dkim_keys[ORG].signing.keys
    assert (key.algorithm, key.selector, key.private) == ("rsa", "mail", keys().keys[0].private)
    assert len(site.dkim_keys[NET].signing.keys) == 2
    (tmp_path / "mail.key").unlink()  # it is in the state now
    assert at(mail_domains=[ORG, NET], **_without_file()).dkim_keys == site.dkim_keys


def _without_file() -> dict[str, t.Any]:
    return {"mail_dkim_existing": {ORG: [{"selector": "mail", "key_file": "mail.key"}]}}


def test_both_algorithms_are_taken_and_in_check_mode_they_are_shown(
    at: Callable[..., Site], state: State, tmp_path: Path
) -> None:
    said = existing(tmp_path)
    (tmp_path / "ed.key").write_text(keys().keys[1].for_rspamd())
    said["mail_dkim_existing"][ORG].append({"selector": "ed", "key_file": "ed.key"})
    site = at(check_mode=True, **said)
    assert site.dkim_keys[ORG].signing.selectors() == ("mail", "ed") and not file(state).exists()
    assert "mail._domainkey.example.org." in zones(site)[f"{ORG}.zone"]


def test_a_key_for_a_domain_that_has_keys_is_not_read(at: Callable[..., Site], state: State, tmp_path: Path) -> None:
    put(state, org=DomainKeys(keys()))
    assert at(**existing(tmp_path, "nonsense")).dkim_keys[ORG] == DomainKeys(keys())


@pytest.mark.parametrize(
    ("content", "more", "sentence"),
    [
        ("nonsense", {}, "key_file is 'mail.key': holds no private key"),
        (None, {"key_file": "none.key"}, "key_file is 'none.key': must be a file on the controller"),
        (None, {"key_file": "group_vars/x.key"}, "where Ansible reads every file as inventory"),
        (None, {"key_file": ""}, "key_file: must name the file that holds the key"),
        (None, {"key_file": "a\nb"}, "key_file: must be text on one line"),
        (None, {"key_file": "-----BEGIN PRIVATE KEY----- MIIE"}, "key_file: must name the file that holds the key"),
        (None, {"key_file": 43 * "A" + "="}, "key_file: must name the file that holds the key"),
        (None, {"selector": "a_b"}, "selector is 'a_b': must be labels of letters, digits and hyphens"),
        (None, {"selector": ".".join(4 * ["x" * 60])}, "makes a name in the DNS that is too long"),
        (None, {"selectr": "mail"}, "selectr: is not known; did you mean selector?"),
    ],
)
def test_keys_that_cannot_be_taken_are_refused_before_anything_is_made(
    at: Callable[..., Site], state: State, tmp_path: Path, content: str | None, more: dict[str, t.Any], sentence: str
) -> None:
    with pytest.raises(SiteError) as refused:
        at(**existing(tmp_path, content, **more))
    assert sentence in str(refused.value) and "MIIE" not in str(refused.value) and "AAAA" not in str(refused.value)
    assert len(refused.value.problems) == 1
    assert not Path(state.folder).exists()


def test_which_keys_make_no_set(at: Callable[..., Site], tmp_path: Path) -> None:
    one = existing(tmp_path)["mail_dkim_existing"][ORG][0]
    for listed, sentence in [
        ([one, {**one, "selector": "mail2"}], "[1].key_file is 'mail.key': is the second rsa key"),
        ([one, {**one, "selector": "MAIL"}], "mail_dkim_existing.example.org: must name each selector once"),
        ([one] * 3, "mail_dkim_existing.example.org: must list one or two keys"),
        ([], "mail_dkim_existing.example.org: must list one or two keys"),
    ]:
        with pytest.raises(SiteError) as refused:
            at(mail_dkim_existing={ORG: listed})
        assert sentence in str(refused.value)
    with pytest.raises(SiteError, match=r"mail_dkim_existing.example.nett: is no domain .*did you mean example.net\?"):
        at(mail_domains=[ORG, NET], mail_dkim_existing={"example.nett": [one]})


def test_a_domain_whose_name_leaves_no_room_is_refused(at: Callable[..., Site]) -> None:
    long = ".".join(["x" * 58] * 4)
    with pytest.raises(SiteError, match="leaves no room for the names of DKIM's records"):
        at(mail_domains=[ORG, Domain(long)])
    assert at(mail_domains=[ORG, Domain(long)], mail_dkim=False)
