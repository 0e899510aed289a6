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
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity._bare_lua import BARE
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
        "Which addresses users may write in From and Sender. own: those of their account. delegates: those of others "
        "in From as well, if Sender has one of their own (RFC 5322, 3.6.2). any: what they like.",
        "own",
    )
    mail_from_exceptions: dict[DomainOrAddress, list[str]] = var(
        "What some accounts may write in From beside their own addresses: by the account's address, or by the name of "
        "a host of group mail_client, a list of addresses, of domains, or '*' for any address.", {},
        example="{lists@example.org: ['*'], shop@example.org: [example.com]}",
    )  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    aliases = {str(alias): account.address for account in site.accounts for alias in account.aliases}
    clients = {str(client.name) for client in site.clients}
    for name, allowed in site.of(Variables).mail_from_exceptions.items():
        where = f"mail_from_exceptions.{name}"
        if "@" not in name and name not in clients:
            near = nearest(name, clients)
            yield Problem(where, None, f"must be an account's address, or a host of group mail_client{near}")
        elif "@" in name and name.rpartition("@")[2] not in site.domains:
            yield Problem(where, None, f"must be in one of mail_domains ({', '.join(site.domains)})")
        elif name in aliases:
            yield Problem(where, None, f"is an alias: name the account, {aliases[name]}")
        elif "+" in name or (site.lookups.on_host and str(name) not in {str(one.address) for one in site.accounts}):
            near = nearest(name, (one.address for one in site.accounts))
            yield Problem(where, None, f"is no account{near}")
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
    return Postfix(
        milters=[Milter(f"unix:{SOCKET.removeprefix(f'{CHROOT}/')}", "check", "tempfail", ("users",), filtered=behind)],
        checks=[_refuses(site, "health-check@example.invalid")],
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
        checks=[_refuses(site, "no address")],  # which is refused without Postfix, whose turn comes later
    )


def _refuses(site: Site, strange: str) -> HealthCheck:
    """Return the question whether a user's message with a strange From is refused."""
    asker = f"postamt-health-check@{site.domains[0]}"
    asked = {"path": SOCKET, "sender": asker, "from_": strange, "name": ORIGINATING}
    return HealthCheck("milter_refuses", asked)


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
RemoveOnStop=yes
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
ExecStart=/bin/sh -fc 'exec postmap -q - "inline:{{{{.=.}}}}" $(postconf -hx smtpd_sender_login_maps | tr , " ")'
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

{BARE}
-- The addresses of a field that is there once and that every mail program reads in the same way; else nil.
local function addresses_of(task, name)
  local fields = task:get_header_full(name) or {{}}
  if #fields ~= 1 then return nil end
  local raw = tostring(fields[1].value or ''):gsub('[\\r\\n]', '')
  if #raw > 980 then return nil end  -- amavis and other servers cut or break longer lines (RFC 5322, 2.1.1)
  local text, found = bare(raw), {{}}
  if not text or text:find('[%z\\1-\\8\\10-\\31\\127:;\\\\]') then return nil end
  for one in text:gmatch('[^,]+') do
    one = one:match('^%s*(.-)%s*$')
    local phrase, address = one:match('^([^<>]*)<%s*([^<>%s]+)%s*>$')
    if not phrase then phrase, address = '', one end
    phrase = phrase:match('^(.-)%s*$')
    -- Some programs take an address that stands as a name for the sender.
    for _, each in ipairs(phrase:find('@', 1, true) and {{phrase, address}} or {{address}}) do
      if each ~= '' then
        local said = lower(each)
        if not keys_of(said) or said:find('=?', 1, true) then return nil end
        table.insert(found, said)
      end
    end
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

-- Each of the logins may use the address. Where the login is not known, it is one of those that may use the envelope
-- sender. With the null sender, which other servers alone may use, it is one of these.
local function is_own(answers, who, address)
  local mine, logins = owners(answers, address), who.login and {{[who.login] = true}} or owners(answers, who.sender)
  if not who.login and who.sender == '' then
    for _, server in ipairs(rules.servers) do
      if mine[server] or is_exception(server, address) then return true end
    end
    return false
  end
  for login in pairs(logins) do
    if not mine[login] and not is_exception(login, address) then return false end
  end
  return next(logins) ~= nil
end

local function all_own(answers, who, addresses)
  for _, address in ipairs(addresses) do
    if not is_own(answers, who, address) then return false end
  end
  return true
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

-- What was right a minute ago is not looked up again.
local known, count = {{}}, 0

local function remember(question)
  if count >= 1000 then known, count = {{}}, 0 end
  known[question], count = os.time() + 60, count + 1
end

local function ask(task, who, from, delegate)
  local lines = {{}}
  for _, list in ipairs({{{{who.sender}}, from, delegate or {{}}}}) do
    for _, address in ipairs(list) do
      for _, key in ipairs(keys_of(address) or {{}}) do table.insert(lines, key .. '\\n') end
    end
  end
  local question = table.concat({{
    who.login or '', who.sender, table.concat(from, ','), table.concat(delegate or {{}}),
  }}, '\\n')
  if (known[question] or 0) > os.time() then return end
  table.insert(lines, '.\\n')
  local function answered(err, data)
    if err then
      task:set_pre_result('soft reject', 'The owner of the address in From cannot be found now, please come again')
      return
    end
    local answers = parsed(tostring(data))
    local by_delegate = rules.delegates and delegate ~= nil
    if all_own(answers, who, delegate or {{}}) and (by_delegate or all_own(answers, who, from)) then
      remember(question)
    else
      refuse(task)
    end
  end
  local begun = tcp.request{{
    task = task, host = '/run/{_OWNERS}.sock', port = 0, timeout = 10, shutdown = true,
    data = {{table.concat(lines)}}, stop_pattern = '.\\t.\\n', callback = answered,
  }}
  if not begun then answered('no connection') end
end

local function check(task)
  if not is_asked(task) then return end
  local from, delegate, smtp = addresses_of(task, 'From'), nil, task:get_from({{'smtp', 'orig'}})
  local who = {{sender = lower(smtp and smtp[1] and smtp[1].addr), login = rules.logins and lower(task:get_user())}}
  if not from or spaced(task, 'from') or spaced(task, 'sender') then return refuse(task) end
  if task:has_header('Sender') then
    delegate = addresses_of(task, 'Sender')
    if not delegate or #delegate > 1 then return refuse(task) end
  elseif #from == 1 and from[1] == who.sender then
    return  -- Postfix has looked it up
  end
  ask(task, who, from, delegate)
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
