# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From of users: who sends after a login writes in From what is the account's own, and nobody else's address.

Postfix has compared the envelope sender with the login (reject_sender_login_mismatch). Rspamd sees the message: it asks
Postfix's own tables whether the address in From has the same owner as the envelope sender.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterator, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import CHROOT
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import Memory
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HEAD, UNITS, File, HealthCheck, Unit
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter.content_filter import Variables as Filter
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, nearest, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import (
    DomainOrAddress,
    Refused,
    domain_or_address,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import ORIGINATING, Milter, Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.rspamd import FOLDER, MEMORY, SOCKET, USER, Rspamd

_MODULE = f"{FOLDER}/postamt_from.lua"
_OWNERS = "postamt-owners"  # the unit, and below /run its socket
ANY = "*"


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_from_of_users: t.Literal["own", "delegates", "any"] = var(
        "Which addresses users may write in From. own: those of their account. delegates: those of others as well, if "
        "Sender has one of their own (RFC 5322, 3.6.2). any: what they like.",
        "own",
    )
    mail_from_exceptions: dict[DomainOrAddress, list[str]] = var(
        "What some accounts may write in From beside their own addresses: by the account's address, or by the name of "
        "a host of group mail_client, a list of addresses, of domains, or '*' for any address.", {},
        example="{lists@example.org: ['*'], shop@example.org: [example.com]}",
    )  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    clients = {str(client.name) for client in site.clients}
    for name, allowed in site.of(Variables).mail_from_exceptions.items():
        where = f"mail_from_exceptions.{name}"
        if "@" not in name and name not in clients:
            near = nearest(name, clients)
            yield Problem(where, None, f"must be an account's address, or a host of group mail_client{near}")
        elif "@" in name and name.rpartition("@")[2] not in site.domains:
            yield Problem(where, None, f"must be in one of mail_domains ({', '.join(site.domains)})")
        if not allowed:
            yield Problem(where, None, f"must list at least one address, domain, or '{ANY}'")
        for i, one in enumerate(allowed):
            try:
                _pattern(one)
            except Refused as refused:
                yield Problem(f"{where}[{i}]", one, f"{refused}, or '{ANY}' for any address")


def _pattern(text: str) -> str:
    """Return an exception in the form in which it is compared: an address, a domain behind an @, or ANY."""
    if text == ANY:
        return text
    if text.startswith(("@", "*@")):
        raise Refused("must be the domain alone, such as example.org")
    found = domain_or_address(text)
    return str(found) if "@" in found else f"@{found}"


def applies(site: Site, host: Host) -> bool:
    return site.of(Variables).mail_from_of_users != "any" and host.has("mail_submission")


def postfix(site: Site, host: Host) -> Postfix:
    # Refused while the sender listens: where amavis filters before the queue, it hands the refusal on.
    behind = site.of(Filter).mail_content_filter == "before_queue"
    asker = f"postamt-health-check@{site.domains[0]}"
    asked = {"path": SOCKET, "sender": asker, "from_": "health-check@example.invalid", "name": ORIGINATING}
    return Postfix(
        milters=[Milter(f"unix:{SOCKET.removeprefix(f'{CHROOT}/')}", "check", "tempfail", ("users",), filtered=behind)],
        checks=[HealthCheck("milter_refuses", asked)],
    )


def rspamd(site: Site, host: Host) -> Rspamd:
    said = site.of(Variables)
    return Rspamd(
        sections={
            "postamt_from": {
                # Filtered mail comes back without its login. After the queue nobody can be told any more.
                "logins": site.of(Filter).mail_content_filter != "before_queue",
                "delegates": said.mail_from_of_users == "delegates",
                "servers": sorted(str(client.name) for client in site.clients),
                "exceptions": _exceptions(site, said.mail_from_exceptions),
            }
        },
        modules=[_MODULE],
        files=[
            File(_MODULE, _LUA),
            File(f"{UNITS}/{_OWNERS}.socket", _SOCKET_UNIT),
            File(f"{UNITS}/{_OWNERS}@.service", _service()),
        ],
        units=[Unit(f"{_OWNERS}.socket")],
    )


def memory(site: Site, host: Host) -> Memory:
    return MEMORY


def _exceptions(site: Site, said: Mapping[DomainOrAddress, list[str]]) -> dict[str, list[str]]:
    """Return by login what it may write, in the forms that the module compares."""
    return {
        site.lookups.login(name) if "@" in name else str(name): [_pattern(one) for one in allowed]
        for name, allowed in said.items()
    }


_SOCKET_UNIT = f"""\
{HEAD}
[Unit]
Description=Owners of sender addresses, as Postfix knows them
[Socket]
ListenStream=/run/{_OWNERS}.sock
SocketGroup={USER}
SocketMode=0660
Accept=yes
MaxConnections=50
# It would stop to listen after 200 messages in two seconds.
TriggerLimitIntervalSec=0
[Install]
WantedBy=sockets.target
"""


def _service() -> str:
    """Return the unit that answers one question, by the tables and the rights with which Postfix looks owners up.

    Keys come in lines, and what is found goes back in lines (postmap(1), -q -). The last key is in a table of its own:
    without its line the answer is not whole, because a table could not be asked.
    """
    limits = sandbox(ProtectProc=None)
    return f"""\
{HEAD}
[Unit]
Description=Owners of sender addresses, as Postfix knows them
CollectMode=inactive-or-failed
[Service]
ExecStart=/bin/sh -c 'exec postmap -q - "inline:{{{{.=.}}}}" $(postconf -hx smtpd_sender_login_maps | tr , " ")'
StandardInput=socket
StandardOutput=socket
StandardError=journal
User=postfix
RuntimeMaxSec=20
LogLevelMax=notice
{limits}
"""


_LUA = f"""\
local tcp = require 'rspamd_tcp'
local util = require 'rspamd_util'
local rules = rspamd_config:get_all_opt('postamt_from')
local MOST = 20  -- addresses in From

local function lower(text)
  return tostring(text or ''):lower()
end

local function is_asked(task)
  if tostring(task:get_request_header('MTA-Name')) ~= '{ORIGINATING}' then return false end
  return not rules.logins or task:get_user() ~= nil
end

-- As Postfix looks a sender up: the address, the address without what follows a plus, the domain.
local function keys_of(address)
  local user, domain = address:match("^([^%s%c\\"(),:;<>@%[%]\\\\]+)@([^%s%c\\"(),:;<>@%[%]\\\\]+)$")
  if not user or #address > 320 then return nil end
  local found, plain = {{address}}, user:match('^([^+]+)%+')
  if plain then table.insert(found, plain .. '@' .. domain) end
  table.insert(found, '@' .. domain)
  return found
end

-- The addresses of a field that is there once and says nothing else; else nil.
local function addresses_of(task, name)
  local fields = task:get_header_full(name) or {{}}
  if #fields ~= 1 then return nil end
  local found = {{}}
  for _, one in ipairs(util.parse_mail_address(fields[1].decoded, task:get_mempool()) or {{}}) do
    local address = lower(one.addr)
    if not keys_of(address) then return nil end
    table.insert(found, address)
  end
  return #found > 0 and #found <= MOST and found or nil
end

local function owners(answers, address)
  for _, key in ipairs(keys_of(address) or {{}}) do
    if answers[key] then return answers[key] end
  end
  return {{}}
end

local function is_exception(login, address)
  for _, allowed in ipairs(rules.exceptions[login] or {{}}) do
    local same_domain = allowed:sub(1, 1) == '@' and address:sub(-#allowed) == allowed
    if allowed == '{ANY}' or allowed == address or same_domain then return true end
  end
  return false
end

-- Whoever may use the envelope sender may use this address: the login is one of them.
local function is_own(answers, sender, address)
  local mine = owners(answers, address)
  if sender == '' then  -- a notice, which other servers alone may hand over
    for _, server in ipairs(rules.servers) do
      if mine[server] or is_exception(server, address) then return true end
    end
    return false
  end
  local all = owners(answers, sender)
  for login in pairs(all) do
    if not mine[login] and not is_exception(login, address) then return false end
  end
  return next(all) ~= nil
end

local function all_own(answers, sender, addresses)
  for _, address in ipairs(addresses or {{}}) do
    if not is_own(answers, sender, address) then return false end
  end
  return addresses ~= nil
end

local function refuse(task)
  task:set_pre_result('reject', 'From must be an address of your own account')
end

local function parsed(text)
  local found = {{}}
  for key, said in text:gmatch('([^\\n\\t]+)\\t([^\\n]*)\\n') do
    found[key] = found[key] or {{}}
    for login in lower(said):gmatch('[^%s,]+') do found[key][login] = true end
  end
  return found
end

local function ask(task, sender, from, delegate)
  local lines = {{}}
  for _, list in ipairs({{{{sender}}, from, delegate or {{}}}}) do
    for _, address in ipairs(list) do
      for _, key in ipairs(keys_of(address) or {{}}) do table.insert(lines, key .. '\\n') end
    end
  end
  table.insert(lines, '.\\n')
  local function answered(err, data)
    if err then
      task:set_pre_result('soft reject', 'The owner of the address in From cannot be found now, please come again')
      return
    end
    local answers = parsed(tostring(data))
    if all_own(answers, sender, from) then return end
    if delegate and #delegate == 1 and all_own(answers, sender, delegate) then return end
    refuse(task)
  end
  local begun = tcp.request{{
    task = task, host = '/run/{_OWNERS}.sock', port = 0, timeout = 10, shutdown = true,
    data = {{table.concat(lines)}}, stop_pattern = '.\\t.\\n', callback = answered,
  }}
  if not begun then answered('no connection') end
end

local function check(task)
  if not is_asked(task) then return end
  local from, smtp = addresses_of(task, 'From'), task:get_from({{'smtp', 'orig'}})
  local sender = lower(smtp and smtp[1] and smtp[1].addr)
  -- Some programs read a field's name up to the colon, blanks included.
  local twice = ('\\n' .. lower(task:get_raw_headers())):find('\\nfrom[ \\t]+:')
  if not from or twice then return refuse(task) end
  if #from == 1 and from[1] == sender then return end  -- Postfix has looked it up
  ask(task, sender, from, rules.delegates and addresses_of(task, 'Sender'))
end

rspamd_config:register_symbol{{
  name = 'POSTAMT_FROM', type = 'normal', score = 0.0,
  callback = function(task)
    if not pcall(check, task) then
      task:set_pre_result('soft reject', 'From cannot be checked now, please come again')
    end
  end,
}}
"""
