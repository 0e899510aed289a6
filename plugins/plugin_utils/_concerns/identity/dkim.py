# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Signatures (DKIM): mail that the site sends is signed, so that others know it to be from its domain.

Rspamd signs as the last, when the content filter has had its say. It signs what users and programs of the site's hosts
send, with the keys of the domain in From, and nothing else. What cannot be signed waits.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import text as text_record
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import CHROOT
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import Memory
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import File, HealthCheck
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter.content_filter import Variables as Filter
from ansible_collections.postamt.mail.plugins.plugin_utils._model import dkim_keys
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, nearest, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    HOSTS,
    ORIGINATING,
    Milter,
    Postfix,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.rspamd import (
    FOLDER,
    MEMORY,
    SOCKET,
    USER,
    Rspamd,
    key_path,
)

_MODULE = f"{FOLDER}/postamt_dkim.lua"


@dataclasses.dataclass(frozen=True)
class ExistingKey:
    """A key with which a domain's mail is signed already, and which stays when the domain moves here."""

    selector: str = var("Its selector: S where the DNS has its record at S._domainkey.DOMAIN.", example="mail")
    key_file: str = var(
        "File of the private key on the controller, relative to the folder that holds the inventory, and in no folder "
        "that Ansible reads: RSA or Ed25519 in PEM, or Ed25519 in base64 as Rspamd writes it; ansible-vault works.",
        example="files/example.org.mail.key", secret=True,  # somebody may write the key itself here
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Variables:
    """Whether mail is signed, and with which keys it was before."""

    mail_dkim: bool = var("Whether what users and hosts of the site send is signed (DKIM, RFC 6376).", True)
    mail_dkim_existing: dict[Domain, list[ExistingKey]] = var(
        "Keys that sign a domain's mail already, by domain: one RSA key, one Ed25519 key, or both. A domain that has "
        "no keys in mail_state_dir yet signs with these, and its records in the DNS stay as they are.", {},
        example="{example.org: [{selector: mail, key_file: files/example.org.mail.key}]}",
    )  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    """Yield what is wrong with keys that are taken over, apart from the files' content."""
    for domain, keys in site.of(Variables).mail_dkim_existing.items():
        where = f"mail_dkim_existing.{domain}"
        if domain not in site.domains:
            known = nearest(domain, site.domains)
            yield Problem(where, None, f"is no domain of the site (mail_domains){known}")
        if not 1 <= len(keys) <= 2:
            yield Problem(where, None, "must list one or two keys: at most one of each algorithm")
        if len({key.selector.lower() for key in keys}) != len(keys):
            yield Problem(where, None, "must name each selector once")
        for i, key in enumerate(keys):
            yield from _wrong(f"{where}[{i}]", domain, key)
    for domain in site.domains if site.of(Variables).mail_dkim else ():
        if len(domain) > dkim_keys.LONGEST_DOMAIN:
            allowed = f"must have at most {dkim_keys.LONGEST_DOMAIN} characters, or mail_dkim must be false"
            yield Problem("mail_domains", domain, f"leaves no room for the names of DKIM's records: {allowed}")


def _wrong(where: str, domain: str, key: ExistingKey) -> Iterator[Problem]:
    if not dkim_keys.SELECTOR.match(key.selector):
        allowed = "must be labels of letters, digits and hyphens, with dots between them (RFC 6376, 3.1)"
        yield Problem(f"{where}.selector", key.selector, allowed)
    elif len(dkim_keys.name_of(key.selector, domain)) > dkim_keys.LONGEST_NAME:
        yield Problem(f"{where}.selector", key.selector, "makes a name in the DNS that is too long")
    if not key.key_file or _is_key(key.key_file):
        yield Problem(f"{where}.key_file", None, "must name the file that holds the key, and is not the key itself")


def _is_key(text: str) -> bool:
    try:
        return "-----" in text or len(base64.b64decode(text, validate=True)) in (32, 64)
    except (binascii.Error, ValueError):
        return False


def dns(site: Site, domain: str) -> Iterator[Record]:
    """Return the records of a domain's keys; none of keys that nobody keeps (a prediction's)."""
    if site.of(Variables).mail_dkim and site.senders and (keys := site.dkim_keys[Domain(domain)]).kept:
        for owner, text in keys.records(domain):
            yield text_record(owner, text)


def dns_warnings(site: Site) -> Iterator[str]:
    """Yield that a domain's keys are not there yet."""
    if site.of(Variables).mail_dkim and site.senders:
        lacking = [domain for domain in site.domains if not site.dkim_keys[domain].kept]
        if lacking:
            some = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
            yield (
                f"the zone files have no DKIM records of {some}: the next run of postamt.mail.site makes the keys; "
                "write the zone files again after it"
            )


def applies(site: Site, host: Host) -> bool:
    return site.of(Variables).mail_dkim and site.sends(host)


def postfix(site: Site, host: Host) -> Postfix:
    socket = SOCKET.removeprefix(f"{CHROOT}/")
    return Postfix(milters=[Milter(f"unix:{socket}", "sign", "tempfail", ("users", "hosts"), filtered=True)])


def rspamd(site: Site, host: Host) -> Rspamd:
    keys = {domain: site.dkim_keys[domain].signing.keys for domain in site.domains}
    signers = {
        "domains": _signing_domains(site),
        "keys": {
            domain: [{"selector": key.selector, "path": key_path(domain, key.selector)} for key in found]
            for domain, found in keys.items()
        },
        # Where a filter is, programs that write to port 25 are told from strangers before their mail comes here.
        "loopback": site.of(Filter).mail_content_filter == "off",
        # What comes with a login comes once more, when the filter has had its say.
        "logins": site.of(Filter).mail_content_filter != "after_queue",
    }
    return Rspamd(
        sections={"postamt_dkim": signers},
        modules=[_MODULE],
        files=[
            File(_MODULE, _LUA),
            *(
                File(key_path(domain, key.selector), f"{key.for_rspamd().strip()}\n", "0640", "root", USER, secret=True)
                for domain, found in keys.items()
                for key in found
            ),
        ],
        checks=[HealthCheck("milter_signs", {"path": SOCKET, "sender": f"postmaster@{site.domains[0]}",
                                             "name": ORIGINATING})],
    )  # fmt: skip


def memory(site: Site, host: Host) -> Memory:
    return MEMORY


def _signing_domains(site: Site) -> dict[str, str]:
    """Return by the domain of an address which domain signs for it: a domain of the site, or a host's name below it."""
    found = {}
    for host in site.hosts.values():
        above = [domain for domain in site.domains if host.name.endswith(f".{domain}")]
        found.update({str(host.name): str(max(above, key=len))} if above else {})
    return {**found, **{str(domain): str(domain) for domain in site.domains}}


# The address in From decides whose keys sign. Whoever hands mail in may choose that freely, so the envelope sender has
# to be of the same domain: Postfix has seen to it that it is the user's own. What a user's Sieve script redirects is a
# stranger's message (RFC 5228 4.2); Dovecot marks it.
_LUA = f"""\
local signers = rspamd_config:get_all_opt('postamt_dkim')
local sign = rspamd_plugins.dkim.sign

local function is_own(task)
  if task:get_user() and not signers.logins then return false end
  local name = tostring(task:get_request_header('MTA-Name'))
  if name == '{ORIGINATING}' or name == '{HOSTS}' then return true end
  local address = tostring(task:get_from_ip())
  return signers.loopback and (address:find('^127%.') or address == '::1')
end

local function signer_of(addresses)
  if not addresses or #addresses ~= 1 then return nil end
  return signers.domains[(addresses[1].domain or ''):lower()]
end

local function signing_domain(task)
  if not is_own(task) or task:get_header('X-Sieve-Redirected-From') then return nil end
  local domain = signer_of(task:get_from({{'mime', 'orig'}}))
  local sender = task:get_from({{'smtp', 'orig'}})
  if sender and #sender > 0 and sender[1].addr ~= '' and signer_of(sender) ~= domain then return nil end
  return domain
end

if not rspamd_config:get_all_opt('postamt_authentication') then
  rspamd_config:disable_symbol('DKIM_CHECK')  -- no signatures are verified here
end

local function sign_all(task)
  local domain = signing_domain(task)
  for _, key in ipairs(domain and signers.keys[domain] or {{}}) do
    if not sign(task, {{domain = domain, selector = key.selector, key = key.path}}) then error('not signed') end
  end
end

rspamd_config:register_symbol{{
  name = 'POSTAMT_DKIM', type = 'normal', score = 0.0,
  callback = function(task)
    -- Else Rspamd would let the message pass without its signature.
    if not pcall(sign_all, task) then
      task:set_pre_result('soft reject', 'Cannot be signed now, please come again')
    end
  end,
}}
"""
