# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""OpenLDAP: what a concern may contribute, how that becomes cn=config, and which entries the site means.

Everything is plain data here; module_utils/directory*.py compares it with what slapd says and changes the difference.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import os
import re
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.module_utils._slapd import entries as host_entries
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    ComposeError,
    ConcernError,
    Contributions,
    files_of,
    merged,
    overridden,
    tree_merge,
    united,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import (
    LIBRARY,
    Directory,
    File,
    Plan,
    Serves,
    Unit,
    make_plan,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.tls_profile import CIPHERS
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups import reach
from ansible_collections.postamt.mail.plugins.plugin_utils._model.account_rules import PASSWORD_BYTES
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host, client_secret
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import (
    CA_FILE,
    GENERATED,
    VMAIL_HOME,
    VMAIL_UID,
    KeyPair,
    Site,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import Account

Values = list[str]
Attributes = dict[str, Values]

DATABASE = "/var/lib/ldap-mail"  # not below Debian's own database, whose folder the package moves in upgrades
RELOADER = f"{LIBRARY}/reload-slapd"  # the concern directory brings it
PROGRAM = Program(
    title="slapd",
    reload=(RELOADER,),
    order=40,
    configuration="/etc/ldap/slapd.d",
    versions={"slapd": "slapd"},
    stays={
        "the directory": DATABASE,
        "what was applied to the directory, for another install": "/var/lib/postamt/ldap/applied.json",
        "cn=config from before": "/var/lib/postamt/ldap/originals/cn=config.ldif",
    },
    about="The site's directory (OpenLDAP)",
    task="Directory",
    options={
        "settings": "Attributes of C(cn=config) (I(slapd-config(5)), I(slapd-mdb(5))) by section, which are "
        "V(global), V(frontend) and V(database). A value may be text, a number, a boolean or a list."
    },
)
ROOT = "gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth"  # root through ldapi:/// (SASL EXTERNAL)

# Argon2 (RFC 9106) withstands graphics cards because it needs memory; OpenLDAP ships it in both releases. The cost is
# Debian 13's default and one of OWASP's recommended, stated because Debian 12's default is weaker. About 15 ms a login.
PASSWORD_HASH = "{ARGON2}"
MODULES = ("argon2 m=7168 t=5 p=1", "ppolicy", "syncprov")
REPLICA = "replica"  # the service that copies the provider's entries, and hands users' changes to it
POLICY = "passwords"  # the entry that says what users' own passwords must be

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


@dataclasses.dataclass(frozen=True)
class Ldap:
    """What one concern contributes.

    services: entries below ou=services by name; indexes: attribute -> kinds (slapd-mdb(5)); modules: olcModuleLoad;
    settings: section (see SECTIONS) -> attribute -> values; everywhere: listen on all addresses, not loopback alone;
    files: drop-ins of its unit.
    """

    services: Mapping[str, Reader] = dataclasses.field(default_factory=dict)
    indexes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    modules: Iterable[str] = ()
    settings: Mapping[str, Mapping[str, Values]] = dataclasses.field(default_factory=dict)
    everywhere: bool = False
    files: Iterable[File] = ()


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of slapd for one host; the directory's host gets the entries too."""
    if not parts:
        return make_plan(enabled=False, units=[Unit("slapd.service", running=False)])
    services = merged(parts, "services", "directory service")
    provider = t.cast(Host, site.provider)
    password = site.service_password(REPLICA) if site.has_replicas else ""
    certificate = site.internal_certificate
    return make_plan(
        packages={"slapd", "ldap-utils", "python3-ldap"},
        key_group="ssl-cert",  # which slapd's user joins, to read the key of its certificate
        directories=[Directory(DATABASE, "0700", "openldap", "openldap")],
        files=files_of(parts, "file beside slapd"),
        units=[Unit("slapd.service")],
        watch=[certificate.chain, certificate.key, CA_FILE],
        serves=[
            Serves(389, "ldap", "starttls", (certificate.chain,)),
            Serves(636, "ldap", "implicit", (certificate.chain,)),
        ],
        suffix=site.suffix,
        listen=_listen(any(part.everywhere for _concern, part in parts)),
        config=config(site, host, parts, overrides.get("settings") or {}),
        entries=entries(site, services) if host == provider else None,  # the others get theirs from the provider
        provider=provider.name,
        followed=site.has_replicas and host == provider,
        replica={"dn": site.service_dn(REPLICA), "password": password, "socket": reach.PROVIDER_SOCKET}
        if host != provider
        else None,
        server_name="localhost",
        secrets=[password] if password else [],
    )


def _listen(everywhere: bool) -> str:
    return "ldapi:/// ldap:/// ldaps:///" if everywhere else "ldapi:/// ldap://localhost/ ldaps://localhost/"


# --- cn=config


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
                for name in sorted([*(n for n, reader in services.items() if reader.every), *_replica(site)])
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


def _replica(site: Site) -> list[str]:
    return [REPLICA] if site.has_replicas else []


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
        *(f"to *{readers([name], 'read')} by * break" for name in _replica(site)),
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


# --- entries


def fingerprint(key: str, kind: str, name: str, value: str) -> str:
    """Return what tells whether a password changed without telling the password (HMAC, RFC 2104)."""
    return hmac.digest(key.encode(), "\0".join((kind, name, value)).encode(), "sha256").hex()[:32]


def passwords(site: Site, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return passwords by name (address, service:NAME): {"clear": ...}, or {"hash": ...} where only that is known."""
    accounts: dict[str, Account] = {account.address: account for account in site.accounts}
    clients: dict[str, Host] = {client.name: client for client in site.clients}
    found = {}
    for name in names:
        kind, _colon, service = name.partition(":")
        if kind == "service" and service:
            found[name] = {"clear": site.service_password(service)}
        elif kind == "client" and service in clients:
            found[name] = {"clear": site.client_password(clients[service])}
        elif name in accounts:
            clear = site.password_of(accounts[name])
            found[name] = {"hash": str(accounts[name].password_hash)} if clear is None else {"clear": clear}
    return found


def secret_names(site: Site, parts: Contributions) -> list[str]:
    """Return the names of the secrets that the directory needs and no variable says."""
    generated = [one.address for one in site.accounts if not (one.password or one.password_hash)]
    services = [*merged(parts, "services", "directory service"), *_replica(site)]
    return ["fingerprint-key", *generated, *(f"service:{name}" for name in services), *map(client_secret, site.clients)]


def applied_passwords(site: Site, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return passwords as the host gets them: those that were generated as a hash.

    Nobody guesses 144 random bits, however fast the hash is, and slapd would need ten milliseconds of a processor for
    each. What people choose it hashes itself: also what somebody wrote in the place of a generated one.
    """
    generated = {one.address for one in site.accounts if not (one.password or one.password_hash)}
    return {
        name: {"hash": _salted(given["clear"])}
        if name in generated and re.fullmatch(GENERATED, given.get("clear", ""))
        else given
        for name, given in passwords(site, names).items()
    }


def _salted(clear: str) -> str:
    """Return a salted SHA-1 as every slapd knows it (slapd.conf(5), password-hash)."""
    salt = os.urandom(16)
    return "{SSHA}" + base64.b64encode(hashlib.sha1(clear.encode() + salt).digest() + salt).decode()


def entries(site: Site, services: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the entries that the site means, without a secret in them."""
    key = site.secrets.get("fingerprint-key")
    clients = [client.name for client in site.clients]
    found = {**dict.fromkeys(services, {}), **{name: _speaks_for(site) for name in _replica(site)}}
    names = [
        *(f"service:{name}" for name in sorted(found)),
        *(f"client:{name}" for name in clients),
        *(account.address for account in site.accounts),
    ]
    stores = site.hosts_with("mail_store")
    known = passwords(site, names)

    def printed(owner: str, name: str) -> str:
        return "".join(fingerprint(key, kind, name, value) for kind, value in known[owner].items())

    return {
        "suffix": site.suffix,
        "domains": sorted(site.domains),
        "services": dict(sorted(found.items())),
        "clients": sorted(clients),
        "policies": {POLICY: policy(site)},
        "accounts": {account.address: account_attributes(account) for account in site.accounts},
        "aliases": {address: sorted(targets) for address, targets in sorted(site.all_aliases.items())},
        "new_account": {
            "home": VMAIL_HOME,
            "mailUidNumber": str(VMAIL_UID),
            "mailGidNumber": str(VMAIL_UID),
            "mailStorageDirectory": stores[0].name if stores else site.server_name,
        },
        "stores": [store.name for store in stores] or [site.server_name],
        "key": fingerprint(key, "key", "", ""),
        "fingerprints": {name: printed(name, name) for name in known},
        "renamed": {  # with the fingerprint that an unchanged password had under the former address
            new: {"from": old, "fingerprint": printed(new, old)}
            for new, old in ((account.address, account.renamed_from) for account in site.accounts)
            if old
        },
        "exclusive": site.core.mail_accounts_exclusive,
    }


def policy(site: Site) -> Attributes:
    """Return what users' own passwords must be (slapo-ppolicy(5)): what cannot be checked, such as a hash, is not."""
    return {
        "pwdAttribute": ["userPassword"],
        "pwdMinLength": [str(site.core.mail_password_min_length)],
        "pwdMaxLength": [str(PASSWORD_BYTES)],
        "pwdCheckQuality": ["2"],
        "pwdSafeModify": ["TRUE"],
    }


def _speaks_for(site: Site) -> Attributes:
    """Return in whose names a replica may ask the provider for changes: those of users, and of nobody else."""
    return {"authzTo": [f"dn.onelevel:{site.accounts_base}"]}


def account_attributes(account: Account) -> Attributes:
    """Return what the inventory says of an account, in the directory's words."""
    said = {
        "name": account.name, "quota": account.quota, "aliases": account.aliases, "forward": account.forward,
        "keep_copy": account.keep_copy,
    }  # fmt: skip
    found = host_entries.account_attributes(account.address, said, {})
    found["mailEnabled"] = ["TRUE" if account.enabled else "FALSE"]
    return {name: values for name, values in found.items() if values}


def suffix_problem(suffix: str) -> str | None:
    """Return what is wrong with the suffix of the directory, if anything."""
    part = "[A-Za-z0-9][A-Za-z0-9.-]*(?: [A-Za-z0-9.-]+)*"
    if re.fullmatch(f"(o|dc|ou)={part}(,((o|dc|ou|l|st)={part}|c=[A-Za-z]{{2}}))*", suffix):
        return None
    return "must be a DN that begins with o=, dc= or ou= and has no blanks around its commas, such as o=mail"
