# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to change in cn=config."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._slapd import config

DEBIAN = ["to attrs=userPassword by self write by anonymous auth by * none", "to * by * read"]
DATABASE = "olcDatabase={2}mdb,cn=config"
WANTED: dict[str, Any] = {
    "suffix": "o=mail",
    "modules": ["back_mdb", "argon2 m=7168"],
    "schema": {"postfixbook": {"olcAttributeTypes": ["( 1 NAME 'a' )", "( 2 NAME 'b' )"]}},
    "global": {
        "olcTLSCertificateFile": ["/c"],
        "olcTLSCertificateKeyFile": ["/k"],
        "olcTLSCACertificateFile": ["/ca"],
        "olcLocalSSF": ["128"],
    },
    "frontend": {"olcPasswordHash": ["{ARGON2}"]},
    "database": {
        "olcDbDirectory": ["/var/lib/ldap-mail"],
        "olcAccess": ["to a by * none", "to * by self read"],
        "olcDbIndex": ["mail eq", "uid eq"],
    },
    "overlays": {
        "syncprov": {"wanted": True, "on": "database", "classes": ["p"], "attributes": {"olcSpCheckpoint": ["100 1"]}},
        "chain": {
            "wanted": False,
            "on": "frontend",
            "classes": ["c"],
            "attributes": {"olcChainReturnError": ["TRUE"]},
            "database": {"classes": ["l"], "attributes": {"olcDbURI": ["ldapi://x"]}},
        },
    },
    "debian_access": {"was": DEBIAN, "now": ["to * by * none"]},
}


def numbered(values: list[str]) -> list[str]:
    return [f"{{{number}}}{value}" for number, value in enumerate(values)]


@pytest.fixture
def fresh() -> config.Tree:
    return {
        "cn=config": {"objectClass": ["olcGlobal"]},
        "cn=module{0},cn=config": {"olcModuleLoad": ["{0}back_mdb.la"]},
        "olcDatabase={-1}frontend,cn=config": {},
        "olcDatabase={1}mdb,cn=config": {
            "olcDbDirectory": ["/var/lib/ldap"],
            "olcSuffix": ["dc=nodomain"],
            "olcAccess": numbered(DEBIAN),
        },
    }


@pytest.fixture
def converged() -> config.Tree:
    database = copy.deepcopy(WANTED["database"])
    return {
        "cn=config": copy.deepcopy(WANTED["global"]),
        "cn=module{0},cn=config": {"olcModuleLoad": ["{0}back_mdb", "{1}argon2.so m=1"]},
        "cn={4}postfixbook,cn=schema,cn=config": {
            "olcAttributeTypes": numbered(WANTED["schema"]["postfixbook"]["olcAttributeTypes"])
        },
        "olcDatabase={-1}frontend,cn=config": {"olcPasswordHash": ["{ARGON2}"]},
        f"olcOverlay={{0}}syncprov,{DATABASE}": {"olcSpCheckpoint": ["100 1"]},
        DATABASE: {**database, "olcSuffix": ["o=mail"], "olcAccess": numbered(database["olcAccess"])},
    }


def test_a_fresh_slapd(fresh: config.Tree) -> None:
    found = config.changes(WANTED, fresh, {})
    assert [change.what for change in found] == [
        "modules", "schema postfixbook", "global", "frontend", "Debian's database dc=nodomain", "database o=mail",
        "overlay syncprov",
    ]  # fmt: skip
    assert found[0].modifications == [("add", "olcModuleLoad", ["argon2 m=7168"])]
    assert found[-2].add and found[-2].add["olcSuffix"] == ["o=mail"]
    assert found[-1].dn == "olcOverlay={0}syncprov,olcDatabase={2}mdb,cn=config"


def test_nothing_to_do(converged: config.Tree) -> None:
    assert config.changes(WANTED, converged, {}) == []


def test_the_order_of_access_rules_counts_and_of_indexes_does_not(converged: config.Tree) -> None:
    converged[DATABASE]["olcDbIndex"].reverse()
    assert config.changes(WANTED, converged, {}) == []
    wrong = numbered(list(reversed(WANTED["database"]["olcAccess"])))
    converged[DATABASE]["olcAccess"] = wrong
    (change,) = config.changes(WANTED, converged, {})
    assert change.modifications == [("replace", "olcAccess", WANTED["database"]["olcAccess"])]
    assert change.inverse == [("replace", "olcAccess", config.bare(wrong))]


def test_an_index_is_exchanged_alone(converged: config.Tree) -> None:
    converged[DATABASE]["olcDbIndex"] = ["mail eq", "cn eq"]
    (change,) = config.changes(WANTED, converged, {})
    assert change.modifications == [("delete", "olcDbIndex", ["cn eq"]), ("add", "olcDbIndex", ["uid eq"])]
    assert change.inverse == [("delete", "olcDbIndex", ["uid eq"]), ("add", "olcDbIndex", ["cn eq"])]


def test_what_was_set_and_is_wanted_no_more_goes_and_what_others_set_stays(converged: config.Tree) -> None:
    converged["cn=config"].update(olcIdleTimeout=["600"], olcThreads=["8"])
    (change,) = config.changes(WANTED, converged, {"global": ["olcIdleTimeout", "olcLocalSSF"]})
    assert change.modifications == [("replace", "olcIdleTimeout", [])]
    assert change.inverse == [("replace", "olcIdleTimeout", ["600"])]
    assert (change.before, change.after) == (["global: olcIdleTimeout: 600"], [])


def test_certificate_key_and_ca_travel_together(converged: config.Tree) -> None:
    converged["cn=config"]["olcTLSCertificateFile"] = ["/old"]
    (change,) = config.changes(WANTED, converged, {})
    assert {name for _verb, name, _values in change.modifications} == set(config.TLS)
    again = config.reloaded_certificates(WANTED["global"])
    assert [name for _verb, name, _values in again.modifications] == list(config.TLS)


def test_another_suffix_is_refused_where_there_is_data(converged: config.Tree) -> None:
    with pytest.raises(config.ConfigError, match="set it back to o=mail"):
        config.changes({**WANTED, "suffix": "o=other"}, converged, {})


def test_a_database_of_somebody_else_is_refused(converged: config.Tree) -> None:
    converged[DATABASE]["olcDbDirectory"] = ["/srv/ldap"]
    with pytest.raises(config.ConfigError, match="made by somebody else"):
        config.changes(WANTED, converged, {})


def test_debians_database_is_left_alone_once_somebody_has_changed_its_rules(fresh: config.Tree) -> None:
    fresh["olcDatabase={1}mdb,cn=config"]["olcAccess"] = ["{0}to * by users read"]
    assert not any("Debian" in change.what for change in config.changes(WANTED, fresh, {}))


CHAIN = "olcOverlay={0}chain,olcDatabase={-1}frontend,cn=config"
OVERLAYS = {**WANTED["overlays"], "chain": {**WANTED["overlays"]["chain"], "wanted": True}}


def test_an_overlay_comes_with_its_database_and_goes_before_it(converged: config.Tree) -> None:
    came = config.changes({**WANTED, "overlays": OVERLAYS}, converged, {})
    assert [change.dn for change in came] == [CHAIN, f"olcDatabase={{0}}ldap,{CHAIN}"]
    for change in came:
        assert change.add
        converged[change.dn] = change.add
    assert config.changes({**WANTED, "overlays": OVERLAYS}, converged, {}) == []
    gone = config.changes(WANTED, converged, {"overlays": ["chain"]})
    assert [(change.dn, change.gone is not None) for change in gone] == [
        (f"olcDatabase={{0}}ldap,{CHAIN}", True), (CHAIN, True),
    ]  # fmt: skip


def test_an_overlay_of_somebody_else_stays(converged: config.Tree) -> None:
    converged[CHAIN] = {"olcOverlay": ["{0}chain"]}
    assert config.changes(WANTED, converged, {"overlays": []}) == []


def test_an_overlay_is_numbered_after_those_of_others(converged: config.Tree) -> None:
    del converged[f"olcOverlay={{0}}syncprov,{DATABASE}"]
    converged[f"olcOverlay={{0}}ppolicy,{DATABASE}"] = {}
    (change,) = config.changes(WANTED, converged, {})
    assert change.dn == f"olcOverlay={{1}}syncprov,{DATABASE}"


def test_a_replicas_password_is_in_no_line(converged: config.Tree) -> None:
    def follow(word: str) -> dict[str, Any]:
        line = f'rid=001 binddn="cn=replica" credentials="{word}" type=refreshAndPersist'
        return {**WANTED, "database": {**WANTED["database"], "olcSyncrepl": [line]}}

    (change,) = config.changes(follow("s3cret"), converged, {})
    assert "s3cret" in change.modifications[0][2][0]
    assert "s3cret" not in str(change.after)
    converged[DATABASE]["olcSyncrepl"] = ["{0}" + change.modifications[0][2][0]]
    assert config.changes(follow("s3cret"), converged, {}) == []
    (change,) = config.changes(follow("other"), converged, {})
    assert change.before != change.after  # that it changed is to be seen, and neither of both
    assert "s3cret" not in str(change.before)
