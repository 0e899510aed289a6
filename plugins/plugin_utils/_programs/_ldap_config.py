# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""slapd's cn=config (slapd-config(5)): modules, schema, access rules, overlays, TLS, and how a replica follows."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    ComposeError,
    ConcernError,
    Contributions,
    merged,
    overridden,
    tree_merge,
    united,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.tls_profile import CIPHERS
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups import reach
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import CA_FILE, KeyPair, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._ldap_entries import (
    POLICY,
    REPLICA,
    Attributes,
    Values,
    replicas,
)

DATABASE = "/var/lib/ldap-mail"  # not below Debian's own database, whose folder the package moves in upgrades
ROOT = "gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth"  # root through ldapi:/// (SASL EXTERNAL)

# Argon2 (RFC 9106) withstands graphics cards because it needs memory; OpenLDAP ships it in both releases. The cost is
# Debian 13's default and one of OWASP's recommended, stated because Debian 12's default is weaker. About 15 ms a login.
PASSWORD_HASH = "{ARGON2}"
MODULES = ("argon2 m=7168 t=5 p=1", "ppolicy", "syncprov")
SECTIONS = ("global", "frontend", "database")  # what ldap_settings may reach, attribute by attribute

# The schema of the Postfix book: State of Mind's private enterprise number 29426.
_ATTRIBUTE = "1.3.6.1.4.1.29426.1.10"
_CLASS = "1.3.6.1.4.1.29426.1.2.2"
_IA5 = "SYNTAX 1.3.6.1.4.1.1466.115.121.1.26"
_ADDRESS = f"EQUALITY caseIgnoreIA5Match SUBSTR caseIgnoreIA5SubstringsMatch {_IA5}{{256}}"
_EXACT = f"EQUALITY caseExactIA5Match {_IA5} SINGLE-VALUE"
_NUMBER = (
    "EQUALITY integerMatch ORDERING integerOrderingMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE"  # RFC 4517
)
_BOOLEAN = "EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE"
SCHEMA_NAME = "postfixbook"
SCHEMA: Attributes = {
    "olcAttributeTypes": [
        f"( {_ATTRIBUTE}.{number} NAME '{name}' DESC '{text}' {kind} )"
        for number, name, text, kind in (
            (1, "mailHomeDirectory", "Absolute path of the home of a mail account", _EXACT),
            (2, "mailAlias", "Further mail address of an entry", _ADDRESS),
            (3, "mailUidNumber", "Number of the user who owns the mailbox", _NUMBER),
            (4, "mailGidNumber", "Number of the group that owns the mailbox", _NUMBER),
            (5, "mailEnabled", "FALSE for an account that neither logs in nor receives mail", _BOOLEAN),
            (6, "mailGroupMember", "Mail address of a member of a group", _ADDRESS),
            (7, "mailQuota", "Limit of the mailbox in units of 1024 bytes, 0 for none", _NUMBER),
            (8, "mailStorageDirectory", "Name of the store that holds the mailbox", _EXACT),
            (9, "mailSieveRuleSource", "Sieve script of the account", f"EQUALITY caseExactIA5Match {_IA5}"),
            (10, "mailForwardingAddress", "Mail address that gets mail to the entry", _ADDRESS),
        )
    ],
    "olcObjectClasses": [
        f"( {_CLASS}.1 NAME 'PostfixBookMailAccount' DESC 'Mail account' SUP top AUXILIARY MUST mail MAY ( "
        "mailHomeDirectory $ mailAlias $ mailUidNumber $ mailGidNumber $ mailEnabled $ mailGroupMember $ mailQuota $ "
        "mailStorageDirectory $ mailSieveRuleSource ) )",
        f"( {_CLASS}.2 NAME 'PostfixBookMailForward' DESC 'Mail address that stands for others' SUP top AUXILIARY "
        "MUST mail MAY ( mailAlias $ mailForwardingAddress ) )",
    ],
}

# What Debian's package gives its own, empty database: strangers may read it.
_DEBIAN_ACCESS = [
    "to attrs=userPassword by self write by anonymous auth by * none",
    "to attrs=shadowLastChange by self write by * read",
    "to * by * read",
]


@dataclasses.dataclass(frozen=True)
class Reader:
    """A program that asks the directory by a DN and password of its own.

    reads: the attributes of accounts, aliases and domains that it may read and search; every: whether it lists all
    accounts, so that no size limit holds.
    """

    reads: tuple[str, ...]
    every: bool = False


def config(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what cn=config must say: per section the attributes that are ours, and lists that only grow."""
    services = merged(parts, "services", "directory service")
    indexes = merged(parts, "indexes", "directory index")
    sections: dict[str, dict[str, t.Any]] = {
        "global": {
            **_tls(site.internal_certificate, host.version("slapd")),
            "olcLocalSSF": ["128"],  # what ldapi counts for, so that the next line asks no TLS of it
            "olcSecurity": ["simple_bind=128"],
        },
        "frontend": {"olcPasswordHash": [PASSWORD_HASH]},
        "database": {
            "olcDbDirectory": [DATABASE],
            "olcDbMaxSize": [str(1 << 30)],  # bytes of address space, not of disk
            "olcRootDN": [ROOT],
            "olcDbIndex": [f"{name} {kinds}" for name, kinds in sorted(indexes.items())],
            "olcAccess": access(site, services),
            "olcLimits": [
                f'dn.exact="{site.service_dn(name)}" size=unlimited time=unlimited'
                for name in sorted([*(n for n, reader in services.items() if reader.every), *replicas(site)])
            ],
            **(_follows(site) if host != site.provider else {}),
        },
    }
    if site.has_replicas:
        sections["global"]["olcAuthzPolicy"] = ["to"]  # a service's entry says for whom it may speak (authzTo)
    _add_settings(sections, parts)
    for section, given in overrides.items():
        if section not in SECTIONS or not isinstance(given, Mapping):
            known = ", ".join(SECTIONS)
            raise ComposeError(f"ldap_settings: {section} must be one of {known} with a mapping of attributes")
        wrong = [name for name in given if not re.fullmatch(r"olc[A-Za-z0-9;-]+", name)]
        if wrong:
            raise ComposeError(f"ldap_settings: {section}: {wrong[0]} is no attribute of cn=config (slapd-config(5))")
        sections[section] = overridden(sections[section], {k: _values(v) for k, v in given.items()})
        sections[section] = {name: values for name, values in sections[section].items() if values}
    return {
        **{section: {name: list(v) for name, v in found.items() if v} for section, found in sections.items()},
        "suffix": site.suffix,
        "modules": [
            "back_mdb",
            *sorted({*MODULES, *united(parts, "modules"), *(["back_ldap"] if site.has_replicas else [])}),
        ],
        "overlays": overlays(site),
        "schema": {SCHEMA_NAME: SCHEMA},
        "debian_access": {"was": _DEBIAN_ACCESS, "now": [f"to * by dn.exact={ROOT} manage by * none"]},
    }


def _add_settings(sections: dict[str, dict[str, t.Any]], parts: Contributions) -> None:
    """Add what concerns say of cn=config; none of them changes what the collection says itself."""
    what = "directory setting"
    for section, said in tree_merge(((concern, part.settings) for concern, part in parts), what).items():
        for name, values in said.items():
            asking = min(concern for concern, part in parts if name in part.settings.get(section, {}))
            if section not in sections:
                raise ConcernError(f"concern {asking}: {what} {section} must be one of {', '.join(SECTIONS)}")
            if sections[section].setdefault(name, values) != values:
                raise ConcernError(
                    f"{what} {section} / {name}: concern {asking} wants {values!r}, and the collection has its own"
                )


_PROVIDER = f"ldapi://{reach.PROVIDER_SOCKET.replace('/', '%2F')}"


def _login(site: Site) -> str:
    """Return how a replica logs in at the provider: simple is as safe as the link, which is TLS."""
    return f'bindmethod=simple binddn="{site.service_dn(REPLICA)}" credentials="{site.service_password(REPLICA)}"'


def _follows(site: Site) -> Attributes:
    """Return what makes a database follow the provider's (RFC 4533): one that was away catches up in seconds."""
    follow = (
        f'rid=001 provider={_PROVIDER} {_login(site)} searchbase="{site.suffix}" type=refreshAndPersist '
        'retry="1 30 5 +" timeout=10 network-timeout=5'
    )
    return {"olcSyncrepl": [follow], "olcUpdateRef": [_PROVIDER]}


def overlays(site: Site) -> dict[str, dict[str, t.Any]]:
    """Return the overlays: syncprov(5) tells replicas what changes, chain(5) takes a change from them to the provider.

    Every directory has syncprov: so it knows at which change it is (contextCSN), and may become the provider. A change
    is made at the provider in the name of the user who asks for it, whose rights decide there. ppolicy(5) wants the old
    password with a new one, so that a replica, which may speak for users, cannot set what it likes; and it hashes what
    a user stores in clear. The directory's root is bound by none of this.
    """
    chain = {
        "olcDbURI": [_PROVIDER],
        "olcDbIDAssertBind": [f"mode=self flags=prescriptive {_login(site)}"] if site.has_replicas else [],
        "olcDbNetworkTimeout": ["5"],
    }
    return {
        "syncprov": {
            "wanted": True,
            "on": "database",
            "classes": ["olcOverlayConfig", "olcSyncProvConfig"],
            "attributes": {"olcSpCheckpoint": ["100 1"]},  # operations, minutes
        },
        "ppolicy": {
            "wanted": True,
            "on": "database",
            "classes": ["olcOverlayConfig", "olcPPolicyConfig"],
            "attributes": {
                "olcPPolicyDefault": [f"cn={POLICY},ou=policies,{site.suffix}"],
                "olcPPolicyHashCleartext": ["TRUE"],
            },
        },
        "chain": {
            "wanted": site.has_replicas,
            "on": "frontend",
            "classes": ["olcOverlayConfig", "olcChainConfig"],
            "attributes": {"olcChainReturnError": ["TRUE"]},
            "database": {"classes": ["olcLDAPConfig", "olcChainDatabase"], "attributes": chain},
        },
    }


def _values(value: t.Any) -> Values | None:
    """Return a value of ldap_settings as LDAP has it: a list of text, booleans in capitals."""
    if value is None:
        return None
    items = value if isinstance(value, list | tuple) else [value]
    return [("TRUE" if item else "FALSE") if isinstance(item, bool) else str(item) for item in items]


def _tls(pair: KeyPair, version: tuple[int, int]) -> Attributes:
    """Return TLS 1.2 and 1.3 with forward secrecy. Debian builds slapd with GnuTLS up to 2.5, then with OpenSSL."""
    gnutls = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305"
    return {
        "olcTLSCertificateFile": [pair.chain],
        "olcTLSCertificateKeyFile": [pair.key],
        "olcTLSCACertificateFile": [CA_FILE],
        "olcTLSProtocolMin": ["3.3"],
        "olcTLSCipherSuite": [gnutls if version < (2, 6) else CIPHERS],
    }


def access(site: Site, services: Mapping[str, Reader]) -> Values:
    """Return olcAccess (slapd.access(5)): first rule that fits decides, root is the database's root DN.

    A user changes its own password, not reading its hash, and reads its entry; a service reads what it needs, and only
    what TLS protects; a disabled account does not even log in here. A replica reads everything, and writes nothing in
    its own name. Another server's login is found by saslauthd alone. A password that slapd would keep in clear is
    nobody's.
    """
    suffix, everyone = site.suffix, sorted(services)

    def readers(names: Iterable[str], level: str) -> str:
        return "".join(f' by dn.exact="{site.service_dn(name)}" {level}' for name in names)

    by_readers: dict[tuple[str, ...], list[str]] = {}
    for attribute in sorted({name for reader in services.values() for name in reader.reads}):
        names = tuple(name for name in everyone if attribute in services[name].reads)
        by_readers.setdefault(names, []).append(attribute)
    clients = [
        f'to dn.subtree="{site.clients_base}" attrs=userPassword by anonymous auth by * none',
        f'to dn.subtree="{site.clients_base}" attrs=entry,objectClass,cn{readers(["saslauthd"], "read")} by * none',
        f'to dn.subtree="{site.clients_base}" by * none',
    ]
    return [
        *(f"to *{readers([name], 'read')} by * break" for name in replicas(site)),
        *(clients if site.clients else []),
        f'to dn.children="ou=accounts,{suffix}" filter="(mailEnabled=FALSE)" attrs=userPassword by * none',
        f'to dn.subtree="ou=services,{suffix}" attrs=userPassword by anonymous auth by * none',
        f'to dn.subtree="ou=services,{suffix}" by * none',
        r'to attrs=userPassword val.regex="^\{[Cc][Ll][Ee][Aa][Rr][Tt][Ee][Xx][Tt]\}" by * none',
        "to attrs=userPassword by self =xw by anonymous auth by * none",
        f"to attrs=entry by self read{readers(everyone, 'read')} by * none",
        *(
            f"to attrs={','.join(attributes)} by self read{readers(names, 'read')} by * none"
            for names, attributes in sorted(by_readers.items())
        ),
        "to * by self read by * none",
    ]
