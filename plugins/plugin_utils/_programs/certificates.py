# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates: what a concern may contribute, and what becomes of it on a host.

A host makes its keys itself and they never leave it: it sends a signing request, and the controller, which alone has
the CA's key, signs. A renewal keeps the key: a daemon that opens chain and key while they are replaced gets two that
match, whichever of each it gets, and TLSA records of the key (RFC 6698, 3 1 1) stay right. Another key_type makes a new
key.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.postamt.mail.plugins.module_utils._tls import store
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import DOMAIN
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    ComposeError,
    Contributions,
    agreed,
    every,
    files_of,
    merged,
    united,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import (
    HEAD,
    LIBRARY,
    UNITS,
    File,
    Plan,
    Unit,
    library,
    make_plan,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox, timer
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import TLS_FOLDER, KeyPair, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Refused
from ansible_collections.postamt.mail.plugins.plugin_utils._run import pki
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State
from ansible_collections.postamt.mail.plugins.plugin_utils._run.supplied_certificates import (
    Supplied,
    check_supplied,
    trusted_roots,
)

Result = dict[str, t.Any]
Call = Callable[..., Result]  # runs the module on the host: (state=..., **arguments) -> its result


@dataclasses.dataclass(frozen=True)
class CertificateSpec:
    """A certificate that a host shall have.

    names: DNS names and addresses. key_type: ec or rsa. files: certificate, key and chain on the controller, or nothing
    where the site's CA issues it, for `days` days, and anew within `renew_days` of expiry. elsewhere: whether a program
    on the host brings it, and what the CA issues is a stand-in until then. calls: whether the host also shows it to
    hosts that it calls.
    """

    names: tuple[str, ...]
    key_type: str = "ec"
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    days: int = 365
    renew_days: int = 30
    elsewhere: bool = False
    calls: bool = False


@dataclasses.dataclass(frozen=True)
class Certificates:
    """What one concern contributes: certificates by name; site.KeyPair.called(name) says where they lie.

    acme: names of those that an ACME client brings, which the files and units are for. domains: of all names that the
    site's CA may have to sign, on any host, so that all hosts have the same CA. next_keys: by name, SHA-256 of the
    public keys that may follow the present one; a certificate that is not listed may get any key.
    """

    certificates: Mapping[str, CertificateSpec] = dataclasses.field(default_factory=dict)
    acme: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    domains: t.Iterable[str] = ()
    next_keys: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    packages: t.Iterable[str] = ()
    files: t.Iterable[File] = ()
    units: t.Iterable[Unit] = ()
    secrets: t.Iterable[str] = ()


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the certificates of one host by name, and the packages that it needs to make keys."""
    if overrides:
        raise ComposeError(f"certificates takes no settings of its own ({', '.join(sorted(overrides))})")
    specs = merged(parts, "certificates", "certificate")
    acme = merged(parts, "acme", "ACME certificate")
    for name, names in acme.items():
        specs[name] = _by_acme(name, names, specs)
    keys = merged(parts, "next_keys", "certificate's next keys")
    bound = {"next_keys": {name: list(following) for name, following in sorted(keys.items())}} if keys else {}
    found = make_plan(
        packages=("openssl", "ssl-cert", *united(parts, "packages")),
        files=[*_files(specs), _brought(specs), *_bound(bound), *files_of(parts, "certificates file")],
        units=[
            Unit("postamt-certificates.path"),
            Unit("postamt-certificates-warn.timer"),
            *agreed(parts, "units", "name"),
        ],
        secrets=every(parts, "secrets"),
        acme=sorted(acme),
        server_name=str(site.server_name),
        domains=sorted(united(parts, "domains")),
        certificates={name: dataclasses.asdict(item) for name, item in sorted(specs.items())},
    )
    return {**found, **bound}


def _by_acme(name: str, names: tuple[str, ...], specs: Mapping[str, CertificateSpec]) -> CertificateSpec:
    """Return the stand-in for a certificate that an ACME client brings."""
    item = specs.get(name)
    if item is None or name == INTERNAL:
        known = ", ".join(sorted(set(specs) - {INTERNAL}))
        raise ComposeError(f"mail_acme.{name}: is no certificate that ACME may bring (known: {known})")
    if item.files or item.elsewhere:
        raise ComposeError(f"mail_acme.{name}: must not be set where mail_certificates.{name} has files or a hook")
    return dataclasses.replace(item, names=names, elsewhere=True)


INTERNAL = "internal"
COMMAND = "/usr/local/sbin/postamt-certificates"
# Each of these imports none but those before it, and the last has main().
_LIBRARY = (
    "_engine/walk",
    "_engine/files",
    "_tls/lock",
    "_tls/commands",
    "_tls/store",
    "_tls/shown",
    "_tls/reload",
    "_tls/warn",
    "_tls/postamt_certificates",
)
BOUND = store.BOUND
BROUGHT = "/etc/postamt/certificates.json"  # read by the command
PROGRAM = Program(
    title="the upkeep of certificates",
    expires=True,
    last=(COMMAND,),  # what the command reads is there before
    order=10,
    stays={"keys and certificates": TLS_FOLDER},
    about="Keys and certificates of the mail hosts",
    task="Keys and certificates",
)

_ANNOUNCE = (
    "The DNS names the present key (mail_tlsa), and servers that verify it would send no mail to this host. First add "
    "the new key to mail_tlsa_next, and run postamt.mail.dns until it says that the key may be used. The present "
    "certificate stays"
)
_COMMAND = """\
#!/usr/bin/python3 -IB
{head}
import sys

sys.path.insert(0, "{library}")

from postamt_certificates import main

sys.exit(main())
"""
_PATH = """\
{head}
[Unit]
Description=Certificates that somebody has replaced

[Path]
{paths}

[Install]
WantedBy=multi-user.target
"""
_SERVE = """\
{head}
[Unit]
Description=Have the mail programs show the certificates on disk
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart={command} serve
TimeoutStartSec=30min
{limits}
"""
_WARN = """\
{head}
[Unit]
Description=Write to postmaster of certificates that expire soon

[Service]
Type=oneshot
ExecStart={command} warn
TimeoutStartSec=30min
{limits}
"""


# It asks ports, reads of Postfix's processes and reloads programs: Postfix by its own command, which is why it reaches
# the queue; the others by systemd, and slapd by its socket.
SERVES: dict[str, str | None] = {
    "RuntimeDirectory": "postamt",
    "RuntimeDirectoryMode": "0700",
    "RuntimeDirectoryPreserve": "yes",
    "ReadWritePaths": "/var/lib/postamt -/var/spool/postfix -/var/lib/postfix",
    "CapabilityBoundingSet": "CAP_DAC_OVERRIDE CAP_KILL CAP_SETGID CAP_SETUID CAP_SYS_PTRACE",
    "ProtectProc": None,
}
# sendmail hands letters over by a program that runs in another group (postdrop).
_WARNS = {**SERVES, "NoNewPrivileges": None}


def _files(specs: t.Iterable[str]) -> list[File]:
    """Return the command, and the units that call it when a certificate is replaced, and once a day."""
    paths = [TLS_FOLDER, *(KeyPair.called(name).chain for name in sorted(specs))]
    units = {
        "postamt-certificates.path": _PATH.format(head=HEAD, paths="\n".join(f"PathChanged={path}" for path in paths)),
        "postamt-certificates.service": _SERVE.format(head=HEAD, command=COMMAND, limits=sandbox(**SERVES)),
        "postamt-certificates-warn.service": _WARN.format(head=HEAD, command=COMMAND, limits=sandbox(**_WARNS)),
    }
    return [
        *(File(f"{LIBRARY}/{module.rpartition('/')[2]}.py", library(module)) for module in _LIBRARY),
        File(COMMAND, _COMMAND.format(head=HEAD, library=LIBRARY), "0755"),
        *(File(f"{UNITS}/{name}", content) for name, content in units.items()),
        timer(
            "postamt-certificates-warn",
            "Look once a day whether certificates expire soon",
            OnCalendar="daily",
            RandomizedDelaySec="6h",
            Persistent="true",
        ),
    ]


def _brought(specs: Mapping[str, CertificateSpec]) -> File:
    """Return what the command may take of a program on the host: the names that each certificate must be for."""
    names = {name: list(item.names) for name, item in sorted(specs.items()) if item.elsewhere}
    return File(BROUGHT, json.dumps(names, indent=1) + "\n")


def _bound(said: Mapping[str, t.Any]) -> list[File]:
    """Return what keeps the host from another key, whoever brings it."""
    return [File(BOUND, json.dumps(said["next_keys"], indent=1) + "\n")] if said else []


def supplied(plan_: Plan, read: Callable[[str], bytes]) -> dict[str, Supplied]:
    """Return the content of the files that the user supplies, by certificate; raises SiteError with every problem.

    read: returns a file's content, decrypted if vaulted; raises Refused (run.controller_file()).
    """
    found: dict[str, Supplied] = {}
    problems: list[Problem] = []
    roots: pki.Certificates | None = None
    for name, item in plan_["certificates"].items():
        if not item["files"]:
            continue
        content: dict[str, bytes] = {"chain": b""}
        before = len(problems)
        for key, path in item["files"].items():
            try:
                content[key] = read(path)
            except Refused as refused:
                problems.append(Problem(f"mail_certificates.{name}.{key}", path, str(refused)))
        if len(problems) > before:
            continue
        roots = trusted_roots() if roots is None else roots
        good, wrong = check_supplied(f"mail_certificates.{name}", item["names"], roots=roots, **content)
        problems.extend(
            dataclasses.replace(p, value=p.value or item["files"][p.where.rpartition(".")[2]]) for p in wrong
        )
        if good:
            found[name] = good
    if problems:
        raise SiteError(problems)
    return found


def provision(
    plan_: Plan, state: State, given: Mapping[str, Supplied], seen: Result, call: Call, *, check_mode: bool
) -> Result:
    """Provision one host with the certificates of a plan; returns changed, actions, diff and warnings.

    seen: what the module saw there. call: runs the host's module: not at all where nothing is to do, twice where a key
    has to be signed.
    """
    authority = pki.load_authority(state)
    reasons = {name: _reason(item, seen["served"].get(name), given.get(name), authority)
               or _next_key(plan_, name, seen["served"].get(name), given)
               for name, item in plan_["certificates"].items()}  # fmt: skip
    reasons = {name: reason for name, reason in reasons.items() if reason}
    removed = sorted(set(seen["served"]) - set(plan_["certificates"]))
    lacking = pki.outside(authority, plan_["domains"]) if authority else []
    new_ca = authority is None or bool(lacking) or seen["ca"] != authority.pem
    warnings = _warnings(plan_, given)
    if wrong := _new_keys(plan_, reasons, given, seen["served"]):
        return {"failed": True, "msg": "; ".join(wrong)}
    if not (reasons or removed or new_ca):
        return {"changed": False, "actions": [], "diff": [], "warnings": warnings}
    would = "would " if check_mode else ""
    made = False
    if check_mode:
        chains = {name: given[name].chain if name in given else "" for name in reasons}
        reloaded = sorted({title for name in reasons for title in seen.get("shown_by", {}).get(name, [])})
    else:
        authority, made = pki.ensure_authority(state, plan_["server_name"], plan_["domains"])
        chains, failed = _issue(plan_, reasons, given, authority, call)
        installed = failed or call(
            state="installed",
            ca=authority.pem,
            certificates=[
                {"name": name, "chain": chain, **({"key": given[name].key} if name in given else {})}
                for name, chain in chains.items()
            ],
            removed=removed,
        )
        if installed.get("failed"):
            return installed
        reloaded = installed.get("reloaded", [])
        warnings += [f"{left}; the role of that program tries again" for left in installed.get("left", [])]
    warnings += _lost_keys(plan_, chains, seen["served"])
    actions = (
        [f"{would}{'make' if would else 'made'} the site's CA in {state.folder}"] if made or authority is None else []
    )
    if lacking:
        actions.append(f"{would}{'let' if would else 'let'} the site's CA sign for {', '.join(lacking)} too")
    if new_ca:
        actions.append(f"{would}{'write' if would else 'wrote'} the CA's certificate")
    for name, reason in reasons.items():
        word = ("install" if would else "installed") if name in given else ("issue" if would else "issued")
        names = ", ".join(plan_["certificates"][name]["names"])
        actions.append(f"{would}{word} certificate {name} for {names}, since {reason}")
    actions.extend(f"{would}{'remove' if would else 'removed'} certificate {name}" for name in removed)
    actions.extend(f"{would}{'reload' if would else 'reloaded'} {title}" for title in reloaded)
    diff = [
        {
            "before_header": f"certificate {name}",
            "after_header": f"certificate {name}",
            "before": pki.summary(seen["served"].get(name, {}).get("chain", "")),
            "after": ""
            if name in removed
            else pki.summary(chains[name]) or _expected(plan_["certificates"][name], authority),
        }
        for name in [*reasons, *removed]
    ]
    return {"changed": True, "actions": actions, "diff": diff, "warnings": warnings}


def stand_ins(plan_: Plan, seen: Result) -> list[str]:
    """Return the certificates that the ACME client shall bring and has not, or that have expired since."""
    served = {name: seen["served"].get(name, {}).get("chain", "") for name in plan_["acme"]}
    return [name for name, chain in served.items() if pki.is_stand_in(chain) or pki.why_stand_in(chain)]


def _issue(
    plan_: Plan, reasons: Mapping[str, str], given: Mapping[str, Supplied], authority: pki.Authority, call: Call
) -> tuple[dict[str, str], Result]:
    """Return the new chains by name, signed where the CA issues them, and the host's failure if there was one."""
    chains = {name: given[name].chain for name in reasons if name in given}
    own = [name for name in reasons if name not in given]
    if not own:
        return chains, {}
    items = plan_["certificates"]
    asked = call(state="requested", certificates=[{"name": name, "key_type": items[name]["key_type"]} for name in own])
    if asked.get("failed"):
        return chains, asked
    for name in own:
        item = items[name]
        try:
            chains[name] = pki.sign(authority, asked["requests"][name], item["names"], item["days"], item["calls"])
        except (KeyError, ValueError, TypeError) as error:
            return chains, {"failed": True, "msg": f"the host's signing request for {name} cannot be used: {error}"}
    return chains, {}


def _reason(
    item: Mapping[str, t.Any],
    served: Mapping[str, t.Any] | None,
    file: Supplied | None,
    authority: pki.Authority | None,
) -> str:
    """Return why a certificate has to be replaced, or nothing."""
    if served is None:
        return "there is none"
    if not served["matches"]:
        return "key and certificate there do not match"
    if not served["guarded"]:
        return "owner or mode of the files there was another"
    if file:
        return "" if pki.from_pem(served["chain"]) == pki.from_pem(file.chain) else "the file is another"
    if item["elsewhere"] and not pki.is_stand_in(served["chain"]):
        return pki.why_stand_in(served["chain"])
    names = [*item["names"], *_former_link(item["names"], served["chain"])]
    return pki.why_renew(served["chain"], authority, names, item["key_type"], item["renew_days"], item["calls"])


def _former_link(names: t.Collection[str], chain: str) -> list[str]:
    """Return the name of a host's links that it has no more, where its certificate has it still.

    It is no reason for a new certificate: links go when the programs that ask through them have been changed, and the
    other ends verify this name until then. The next certificate has it no more.
    """
    known = {name for certificate in pki.from_pem(chain)[:1] for name in pki.names_of(certificate)}
    return sorted({f"{name}.{DOMAIN}" for name in names} & known - set(names))


def _new_keys(
    plan_: Plan, reasons: t.Iterable[str], given: Mapping[str, Supplied], served: Mapping[str, t.Any]
) -> list[str]:
    """Return which certificates would get a key that other servers do not expect (TLSA), one sentence each."""
    found = []
    kinds = {name: item["key_type"] for name, item in plan_["certificates"].items()}
    for name in sorted(set(reasons) & set(plan_.get("next_keys", {}))):
        before = served.get(name)
        if not before or not before["matches"]:
            continue  # nothing is served, or by a key that is lost
        kept = pki.key_digest(before["chain"])
        if name in given:
            digest = pki.key_digest(given[name].chain)
            if digest not in (kept, *plan_["next_keys"][name]):
                found.append(f"mail_certificates.{name}.certificate has a new key (SHA-256 {digest}). {_ANNOUNCE}")
        elif not (_next_key(plan_, name, before, given) or pki.has_key_type(before["chain"], kinds[name])):
            found.append(
                f"mail_certificates.{name}.key_type means a new key, which `postamt-certificates next-key "
                f"--type {kinds[name]}` makes on the host. {_ANNOUNCE}"
            )
    return found


def _lost_keys(plan_: Plan, chains: Mapping[str, str], served: Mapping[str, t.Any]) -> list[str]:
    """Return which certificates have another key, since the host has lost the one that other servers know (TLSA)."""
    found = []
    for name in sorted(set(chains) & set(plan_.get("next_keys", {}))):
        before = served.get(name)
        digest = pki.key_digest(chains[name])
        kept = pki.key_digest(before["chain"]) if before else ""
        if (before and before["matches"]) or (digest and digest in (kept, *plan_["next_keys"][name])):
            continue
        found.append(
            f"this host has lost the key of certificate {name}, and the DNS may still name that key (mail_tlsa): other "
            "servers that verify it send no mail to this host. Run postamt.mail.dns now, and publish what it says"
        )
    return found


def _next_key(plan_: Plan, name: str, served: Mapping[str, t.Any] | None, given: Mapping[str, Supplied]) -> str:
    """Return that the site's CA may sign the key that waits on the host, or nothing."""
    item = plan_["certificates"][name]
    if not served or name in given or item["elsewhere"] or served["next_type"] != item["key_type"]:
        return ""
    return "others know its next key now" if served["next"] in plan_.get("next_keys", {}).get(name, ()) else ""


def _warnings(plan_: Plan, given: Mapping[str, Supplied]) -> list[str]:
    return [
        f"{plan_['certificates'][name]['files']['certificate']} expires on {file.expires:%Y-%m-%d}: replace it in time"
        for name, file in given.items()
        if (file.expires - pki.now()).days < plan_["certificates"][name]["renew_days"]
    ]


def _expected(item: Mapping[str, t.Any], authority: pki.Authority | None) -> str:
    """Return what check mode can say of a certificate that is yet to be issued."""
    issuer = pki.common_name(authority.certificate.subject) if authority else "the site's CA"
    until = pki.until(authority, item["days"])
    key = pki.KEY_WORDS[item["key_type"]]
    return f"names: {', '.join(item['names'])}\nissuer: {issuer}\nkey: {key}\nexpires: {until:%Y-%m-%d}\n"
