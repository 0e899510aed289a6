# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts from a spreadsheet, Active Directory and docker-mailserver, as the guide shows them."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError, parse
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import Account
from ansible_collections.postamt.mail.plugins.plugin_utils._run import accounts_source
from ansible_collections.postamt.mail.plugins.plugin_utils._run.accounts_source import load

GUIDE = Path(__file__).parents[5] / "docs" / "guides" / "accounts-from-elsewhere.md"


def guide() -> dict[str, tuple[str, str]]:
    """Return the guide's examples: by file name, the file's content and the query that is set for it."""
    text = GUIDE.read_text(encoding="utf-8")
    contents = dict(re.findall(r"`(\S+)`:\n\n```\w*\n(.*?)```", text, re.DOTALL))
    sources = [
        yaml.safe_load(block)["mail_accounts_source"]
        for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
        if "mail_accounts_source:" in block
    ]
    return {source["file"]: (contents[source["file"]], source.get("query", "@")) for source in sources}


EXAMPLES = guide()


def write(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def accounts(folder: Path, name: str) -> dict[str, Account]:
    """Return the accounts of one of the guide's examples, as the site model accepts them."""
    content, query = EXAMPLES[name]
    found = load(write(folder, name, content), query)
    variables = {"mail_domains": ["example.org"], "mail_accounts": found}
    site = parse_site(variables, {"mail.example.org": HostInput()}, compose.concerns().values())
    return {account.address: account for account in site.accounts}


def refused(path: str, query: str = "@", vault: t.Any = None) -> str:
    with pytest.raises(SiteError) as caught:
        load(path, query, vault)
    (problem,) = caught.value.problems
    return str(problem)


def test_the_guide_shows_all_three() -> None:
    assert sorted(EXAMPLES) == ["ad-users.json", "people.csv", "postfix-accounts.cf"]


def test_a_spreadsheet(tmp_path: Path) -> None:
    found = accounts(tmp_path, "people.csv")
    alice, bob, carol = found.values()
    assert (alice.address, alice.name, alice.quota) == ("alice@example.org", "Alice Archer, M.A.", 2 << 30)
    assert alice.aliases == ["a.archer@example.org", "archer@example.org"]
    assert (bob.aliases, bob.quota, bob.enabled) == ([], None, True)
    assert bob.forward == ["bob@example.net"]
    assert bob.keep_copy
    assert not carol.enabled


def test_active_directory(tmp_path: Path) -> None:
    found = accounts(tmp_path, "ad-users.json")
    assert list(found) == ["alice.archer@example.org", "bob@example.org"], "who has no mail attribute is left out"
    assert found["alice.archer@example.org"].aliases == ["alice@example.org"]
    assert not found["bob@example.org"].enabled


def test_docker_mailserver(tmp_path: Path) -> None:
    found = accounts(tmp_path, "postfix-accounts.cf")
    assert list(found) == ["alice@example.org", "bob@example.org"]
    assert str(found["alice@example.org"].password_hash).startswith("{CRYPT}$6$")


def test_words_of_a_spreadsheet_are_for_the_site_model_to_read(tmp_path: Path) -> None:
    assert load(write(tmp_path, "a.csv", "address,enabled\na@example.org,maybe\n"))[0]["enabled"] == "maybe"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_byte_order_mark_and_empty_lines(tmp_path: Path, separator: str) -> None:
    lines = [["address ", "name", "quota"], ["a@example.org", '"Ä ""x"""', ""], ["", "", ""], ["b@example.org"]]
    text = "\r\n".join(separator.join(cells) for cells in lines)
    found = load(write(tmp_path, "a.csv", b"\xef\xbb\xbf" + text.encode()))
    assert found == [{"address": "a@example.org", "name": 'Ä "x"'}, {"address": "b@example.org"}]


def test_several_addresses_in_one_cell_and_in_several(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'address,one,two\na@x.org,"b@x.org, c@x.org; d@x.org;",\n')
    assert load(path, "[].{address: address, aliases: one}")[0]["aliases"] == ["b@x.org", "c@x.org", "d@x.org"]
    assert load(path, "[].{address: address, aliases: [address, two]}")[0]["aliases"] == ["a@x.org"]


def test_functions_beyond_jmespaths_own(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", '["A b;c"]')
    assert load(path, "[].split(lower(@), ';') | [0]") == ["a b", "c"]
    assert load(path, "[].split(@, '') | [0]") == ["A", "b;c"]
    assert load(path, "[].replace(@, 'A', 'x')") == ["x b;c"]


def test_dovecots_own_fields_are_left_out(tmp_path: Path) -> None:
    (found,) = load(write(tmp_path, "a.cf", "# us\n\na@x.org|{SHA512-CRYPT}$6$a$b|userdb_quota=1\n"))
    assert found == {"address": "a@x.org", "password_hash": "{SHA512-CRYPT}$6$a$b"}


def test_a_vaulted_file_is_read(tmp_path: Path) -> None:
    vault = VaultLib([("site", VaultSecret(b"word"))])
    path = write(tmp_path, "a.yml", vault.encrypt(b"[{address: a@x.org}]"))
    assert load(path, vault=vault) == [{"address": "a@x.org"}]
    assert "a.yml is encrypted with ansible-vault and no vault secret at hand opens it" in refused(path)


def test_each_problem_has_one_sentence(tmp_path: Path) -> None:
    good = write(tmp_path, "a.json", '[{"mail": null, "password": "hunter2"}]')
    assert refused(good, "[").startswith("mail_accounts_source.query is '[': must be a JMESPath expression (")
    assert "must be a JMESPath expression (Unknown function: nope()" in refused(good, "nope(@)")
    assert refused(good, "[0]").endswith("into a list of accounts, and gives a mapping")
    assert refused(good, "[0].mail").endswith("into a list of accounts, and gives nothing")
    assert refused(good, "length(@)").endswith("into a list of accounts, and gives a single value")
    text = refused(good, "[].lower(mail)") + refused(good, "[].abs(password)")
    assert "gives function lower a value of type null where it takes string" in text
    assert "hunter2" not in text
    assert "there is none" in refused(str(tmp_path / "none.csv"))
    assert "cannot be read" in refused(str(tmp_path / "a.json" / "x.csv"))
    assert "must have one of the extensions .csv, .json" in refused(write(tmp_path, "a.xlsx", "x"))
    assert "must be UTF-8 text" in refused(write(tmp_path, "a.csv", "name\nÄ\n".encode("cp1252")))
    assert "is no valid .json file, wrong in line 2" in refused(write(tmp_path, "b.json", "[\n?"))
    assert "is no valid .yml file, wrong in line 2" in refused(write(tmp_path, "b.yml", "a: 1\nb: ]\n"))
    assert "is no valid .json file" in refused(write(tmp_path, "c.json", "[" * 200_000))
    assert "is no valid .csv file" in refused(write(tmp_path, "b.csv", 'a,b\n"x'))
    assert "is no valid .cf file" in refused(write(tmp_path, "b.cf", "a@example.org\n"))


def test_a_missing_jmespath_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_source, "jmespath", None)
    assert refused(str(tmp_path / "a.json")) == (
        "mail_accounts_source.query: needs the Python package jmespath on the controller: pip install jmespath"
    )


def test_what_is_no_account_is_left_for_the_site_model_to_refuse(tmp_path: Path) -> None:
    assert load(write(tmp_path, "a.json", '["a@x.org"]')) == ["a@x.org"]


def test_aliases_of_aliases_are_not_written_out(tmp_path: Path) -> None:
    """Thirty lines of YAML that stand for 9 ** 30 items."""
    lines = ["x0: &x0 [x]", *(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 30))]
    found = load(write(tmp_path, "a.yml", "\n".join([*lines, "list: [{address: *x29, password: *x29}]"])), "list")
    problems: list[Problem] = []
    parse(list[Account], found, "mail_accounts", problems)
    text = "\n".join(map(str, problems))
    assert text.startswith("mail_accounts[0].address is [[[[[...], [...], ")


def test_a_header_that_a_terminal_would_obey_is_not_shown_as_it_is(tmp_path: Path) -> None:
    problems: list[Problem] = []
    found = load(write(tmp_path, "a.csv", "address,\x1b]0;x\x07\u202equota\na@example.org,5\n"))
    parse(list[Account], found, "mail_accounts", problems)
    assert str(problems[0]).startswith("mail_accounts[0].?]0;x??quota: is not known")
