# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Lua module by which Rspamd judges incoming mail: what its own modules find out becomes a field and an action."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity._bare_lua import BARE

LUA = (
    f"""\
{BARE}
"""
    + """\
-- Whose mail is judged, what is said of it in Authentication-Results (RFC 8601), and what becomes of it (DMARC).
local said = rspamd_config:get_all_opt('postamt_authentication')
local rspamd_util = require 'rspamd_util'
local lua_mime = require 'lua_mime'
local lua_auth_results = require 'lua_auth_results'

local function set_of(list)
  local found = {}
  for _, one in ipairs(list or {}) do found[tostring(one):lower()] = true end
  return found
end

local own_daemons, own_addresses = set_of(said.own_daemons), set_of(said.own_addresses)
local own_domains, trusted = set_of(said.own_domains), set_of(said.arc_trusted)
local RANK = { mark = 0, junk = 1, refuse = 2 }
local PUBLISHED = { none = 'mark', quarantine = 'junk', reject = 'refuse' }
local CHECKS = { 'SPF_CHECK', 'DKIM_CHECK', 'DMARC_CHECK', 'ARC_CHECK', 'ARC_SIGNED' }

-- Organizational domains (RFC 7489, 3.2). Rspamd's own way reads the list for seconds and keeps 70 MB of it.
local suffixes = {}
local list
for _, path in ipairs(said.suffixes) do list = list or io.open(path) end
if not list then error('no list of public suffixes') end
for line in list:lines() do
  local rule = line:match('^([^%s/]%S*)')
  if rule then suffixes[rule:lower()] = true end
end
if not suffixes['com'] then error('the list of public suffixes is empty') end

local function organization(domain)
  domain = tostring(domain or ''):lower():gsub('%.+$', '')
  local labels = {}
  for label in domain:gmatch('[^.]+') do labels[#labels + 1] = label end
  local length = 1  -- of the longest suffix, in labels; what no rule knows ends in a suffix of one
  for first = 1, #labels do
    local tail = table.concat(labels, '.', first)
    local above = table.concat(labels, '.', first + 1)
    if suffixes['!' .. tail] then length = #labels - first; break end
    if suffixes[tail] or suffixes['*.' .. above] then length = #labels - first + 1; break end
  end
  return table.concat(labels, '.', math.max(1, #labels - length))
end
rspamd_util.get_tld = organization

local function is_loopback(address)
  return address:find('^127%.') ~= nil or address == '::1'
end

-- Behind a filter each client is 127.0.0.1. Postfix wrote at port 25 who it was, above all that came with the message.
local function set_client(task)
  for _, line in ipairs(task:get_received_headers() or {}) do
    local flags = line.flags or {}
    if not flags.artificial and (line.by_hostname or ''):lower() == said.hostname then
      if not (line.real_ip and line.real_ip:is_valid()) then return false end
      task:set_from_ip(line.real_ip)
      if line.from_hostname then task:set_helo(line.from_hostname) end
      return true
    end
  end
  return false
end

local function is_strangers(task)
  if own_daemons[tostring(task:get_request_header('MTA-Name') or ''):lower()] then return false end
  if said.filtered and not set_client(task) then return false end
  local address = tostring(task:get_from_ip() or ''):lower()
  return not is_loopback(address) and not own_addresses[address]
end

rspamd_config:register_symbol{
  name = 'POSTAMT_ORIGIN', type = 'prefilter', priority = 10, score = 0.0,
  callback = function(task)
    if is_strangers(task) then
      task:cache_set('postamt_judged', true)
    else
      for _, name in ipairs(CHECKS) do task:disable_symbol(name) end
    end
  end,
}

-- What strangers choose is cut down to what cannot be read as another result.
local function plain(value)
  local text = tostring(value or ''):sub(1, 255):gsub('[^\\33-\\126]', '?'):gsub('[()<>;,\\\\"%[%]=]', '?')
  return text == '' and '""' or text
end

local function first_symbol(task, names)
  for _, one in ipairs(names) do
    local symbol = task:get_symbol(one[1])
    if symbol then return one[2], (symbol[1] or {}).options or {} end
  end
end

local DKIM = { allow = 'pass', reject = 'fail', tempfail = 'temperror', ['permanent error'] = 'permerror',
               permerror = 'permerror', ['bad record'] = 'permerror' }
local SPF = { { 'R_SPF_ALLOW', 'pass' }, { 'R_SPF_FAIL', 'fail' }, { 'R_SPF_SOFTFAIL', 'softfail' },
              { 'R_SPF_NEUTRAL', 'neutral' }, { 'R_SPF_DNSFAIL', 'temperror' }, { 'R_SPF_PERMFAIL', 'permerror' },
              { 'R_SPF_PLUSALL', 'policy' }, { 'R_SPF_NA', 'none' } }
local DMARC = { { 'DMARC_POLICY_ALLOW', 'pass' }, { 'DMARC_DNSFAIL', 'temperror' }, { 'DMARC_BAD_POLICY', 'permerror' },
                { 'DMARC_POLICY_REJECT', 'fail' }, { 'DMARC_POLICY_QUARANTINE', 'fail' },
                { 'DMARC_POLICY_SOFTFAIL', 'fail' }, { 'DMARC_NA', 'none' } }
local FAILED = { { 'DMARC_POLICY_REJECT', 'reject' }, { 'DMARC_POLICY_QUARANTINE', 'quarantine' },
                 { 'DMARC_POLICY_SOFTFAIL', 'none' } }
local ARC = { { 'ARC_ALLOW', 'pass' }, { 'ARC_REJECT', 'fail' }, { 'ARC_INVALID', 'fail' },
              { 'ARC_DNSFAIL', 'fail' }, { 'ARC_NA', 'none' } }

local function envelope_domain(task)
  local sender = (task:get_from({'smtp', 'orig'}) or {})[1] or {}
  if sender.addr and sender.addr ~= '' then return 'smtp.mailfrom', sender.addr, sender.domain or '' end
  return 'smtp.helo', task:get_helo() or '', task:get_helo() or ''
end

-- Whether DMARC can ask the DNS about a domain
local function can_be_asked(domain)
  if #domain > 246 or not domain:find('^[%w_-][%w._-]*$') or domain:find('..', 1, true) then return false end
  for label in domain:gmatch('[^.]+') do
    if #label > 63 then return false end
  end
  return true
end

-- Whether all that looks like an address in From is of one organization. Rspamd and mail programs choose differently.
local function is_clear(field, domain)
  local text = bare((tostring(field.value or ''):gsub('[\\r\\n]', '')))
  if not text or text:find('[%z\\1-\\8\\11-\\31\\127]') then return false end
  text = text:gsub('=%?[^?%s]*%?[bBqQ]%?[^?%s]*%?=', ' ')  -- encoded words; no address may have one
  local found = false
  for word in text:gmatch('[^%s<>()%[%],;:"\\\\\\']+') do
    if word:find('@', 1, true) then
      local said_there = word:match('^[^@]+@([^@]+)$')
      if not said_there or organization(said_there) ~= organization(domain) then return false end
      found = true
    end
  end
  return found
end

-- The domain in From. Else what is wrong with From, and the domain that Rspamd reads there.
local function author(task)
  local fields = task:get_header_full('From') or {}
  local addresses = task:get_from({'mime', 'orig'}) or {}
  if #fields > 1 or #addresses > 1 or spaced(task, 'from') then return nil, 'several' end
  local domain = ((addresses[1] or {}).domain or ''):lower():gsub('%.$', '')
  if domain == '' then return nil, 'none' end
  if not can_be_asked(domain) or not is_clear(fields[1] or {}, domain) then return nil, 'unclear', domain end
  return domain
end

local function aligned_by_spf(task, domain)
  local _, _, sender = envelope_domain(task)
  return task:has_symbol('R_SPF_ALLOW') and organization(sender) == organization(domain)
end

-- Domains with a signature that leaves a part of the body out (tag l): anybody may write more below it
local function partial_signers(task)
  local found = {}
  for _, field in ipairs(task:get_header_full('DKIM-Signature') or {}) do
    local value = ';' .. (field.value or ''):gsub('%s+', '') .. ';'
    if value:find(';l=') then found[organization(value:match(';d=([^;]*);'))] = true end
  end
  return found
end

-- Result and policy of DMARC for a domain that Rspamd reads in From
local function dmarc_of(task, domain)
  local result, options = first_symbol(task, DMARC)
  local policy = first_symbol(task, FAILED) or (result == 'pass' and options[2]) or nil
  local partial = domain and partial_signers(task)[organization(domain)]
  if result == 'pass' and partial and not aligned_by_spf(task, domain) then return 'fail', policy or 'none' end
  return result or 'none', policy
end

local function results(task)
  local found = {}
  local seen, partial = task:get_dkim_results() or {}, partial_signers(task)
  for i = 1, math.min(#seen, said.signatures) do
    local result = DKIM[seen[i].result] or 'neutral'
    if result == 'pass' and partial[organization(seen[i].domain)] then result = 'policy' end
    local words = { 'dkim=' .. result }
    for tag, key in pairs({ domain = 'header.d=', selector = 'header.s=', bhash = 'header.b=' }) do
      if seen[i][tag] then words[#words + 1] = key .. plain(seen[i][tag]) end
    end
    table.sort(words, function(a, b) return a:sub(1, 5) == 'dkim=' or (b:sub(1, 5) ~= 'dkim=' and a < b) end)
    found[#found + 1] = table.concat(words, ' ')
  end
  if #seen == 0 then found[1] = 'dkim=none' end
  local spf = first_symbol(task, SPF)
  local property, sender = envelope_domain(task)
  found[#found + 1] = string.format('spf=%s %s=%s', spf or 'none', property, plain(sender))
  local domain = author(task)
  local dmarc, policy = 'permerror', nil
  if domain then dmarc, policy = dmarc_of(task, domain) end
  found[#found + 1] = string.format('dmarc=%s%s%s', dmarc, policy and ' (p=' .. plain(policy) .. ')' or '',
                                    domain and ' header.from=' .. plain(domain) or '')
  local arc = first_symbol(task, ARC)
  if arc and arc ~= 'none' then found[#found + 1] = 'arc=' .. arc end
  return found
end

local function authentication_results(task)
  return said.authserv_id .. '; ' .. table.concat(results(task), '; ')
end
lua_auth_results.gen_auth_results = authentication_results  -- ARC seals the same words

-- Fields that only this site may write. Others' results are of no use to a reader: he cannot know who wrote them.
local function not_for_strangers(task)
  local remove = {}
  for _, name in ipairs{ 'Authentication-Results', said.junk_field } do
    if task:has_header(name) then remove[name] = 0 end
  end
  return remove
end

-- Whether there is a signature of the domain with a result: + is right, ? could not be verified now
local function has_signature(task, domain, result)
  local traces = ((task:get_symbol('DKIM_TRACE') or {})[1] or {}).options or {}
  for _, one in ipairs(traces) do
    if one:sub(-2) == ':' .. result and organization(one:sub(1, -3)) == organization(domain) then return true end
  end
  return false
end

local function aligned(task, domain)
  if aligned_by_spf(task, domain) then return true end
  return has_signature(task, domain, '+') and not partial_signers(task)[organization(domain)]
end

-- Whether the DNS of the domain itself fails. Anybody can have a domain whose DNS does.
local function aligned_temperror(task, domain)
  local _, _, sender = envelope_domain(task)
  if task:has_symbol('R_SPF_DNSFAIL') and organization(sender) == organization(domain) then return true end
  return has_signature(task, domain, '?')
end

local function override_of(domain)
  while domain do
    if said.overrides[domain] then return said.overrides[domain] end
    domain = domain:match('^[^.]+%.(.+)$')
  end
end

local function is_own(domain)
  while domain do
    if own_domains[domain] then return true end
    domain = domain:match('^[^.]+%.(.+)$')
  end
  return false
end

-- Results outside of comments and quoted words
local function without_comments(value)
  local depth, quoted, text, i = 0, false, {}, 1
  while i <= #value do
    local c = value:sub(i, i)
    if c == '\\\\' then i = i + 1
    elseif depth == 0 and c == '"' then quoted = not quoted
    elseif not quoted and c == '(' then depth = depth + 1
    elseif not quoted and c == ')' then depth = depth - 1
    elseif depth == 0 and not quoted then text[#text + 1] = c end
    i = i + 1
  end
  return table.concat(text):lower()
end

-- A forwarder that the site trusts sealed the message last, and says that it was right when it came there.
local function trusted_forward(task)
  local symbol = (task:get_symbol('ARC_ALLOW') or {})[1]
  local sealer, last = tostring(((symbol or {}).options or {})[1] or ''):match('^(.-):s=.-:i=(%d+)$')
  if not sealer or not trusted[sealer:lower()] then return false end
  local fields = task:get_header_full('ARC-Authentication-Results') or {}
  if #fields ~= tonumber(last) then return false end
  for _, field in ipairs(fields) do
    local text = without_comments(tostring(field.value or ''))
    if text:match('^%s*i%s*=%s*(%d+)') == last then
      local said_there = {}
      for word in (text .. ';'):gmatch(';%s*dmarc%s*=%s*(%a+)') do said_there[#said_there + 1] = word end
      return #said_there == 1 and said_there[1] == 'pass'
    end
  end
  return false
end

-- At most what the site wants done
local function at_most(action)
  if said.failures ~= 'as_published' and RANK[action] > RANK[said.failures] then return said.failures end
  return action
end

-- What becomes of a message with a domain in From, and why: mark, junk, refuse or defer
local function verdict_on(task, domain)
  local dmarc, failed = dmarc_of(task, domain)
  if dmarc == 'pass' then return 'mark' end
  if dmarc == 'temperror' then return said.dns_errors == 'defer' and 'defer' or 'mark' end
  local override, own = override_of(domain), is_own(domain)
  if not failed then
    if not (override or own) or aligned(task, domain) then return 'mark' end
    if aligned_temperror(task, domain) then return said.dns_errors == 'defer' and 'defer' or 'mark' end
  end
  if trusted_forward(task) then return 'mark' end
  local why = plain(domain) .. ' does not confirm this message (DMARC)'
  if override and override ~= 'as_published' then return override, why end
  local action = at_most(failed and PUBLISHED[failed] or 'mark')
  if own and not override and said.own_failures ~= 'as_published' and RANK[action] < RANK[said.own_failures] then
    action = said.own_failures
  end
  return action, why
end

local function verdict(task)
  local domain, wrong, read = author(task)
  if domain then return verdict_on(task, domain) end
  if wrong == 'several' then return at_most('refuse'), 'From has more than one address' end
  if wrong == 'none' then return at_most('junk'), 'From has no address' end
  local action, why = verdict_on(task, read)
  if action ~= 'mark' then return action, why end
  return at_most('junk'), 'From can be read in more than one way'
end

rspamd_config:register_symbol{
  name = 'POSTAMT_AUTHENTICATION', type = 'postfilter', priority = 5, score = 0.0,
  callback = function(task)
    local change = { remove = not_for_strangers(task), add = {} }
    if task:cache_get('postamt_judged') then
      local action, why = verdict(task)
      if action == 'refuse' then return task:set_pre_result('reject', why) end
      if action == 'defer' then
        return task:set_pre_result('soft reject', 'The DNS does not answer, please come again')
      end
      change.add['Authentication-Results'] = { order = 0, value = rspamd_util.fold_header('Authentication-Results',
        authentication_results(task), 'lf', ';') }
      if action == 'junk' then change.add[said.junk_field] = { order = 0, value = why } end
    end
    lua_mime.modify_headers(task, change)
  end,
}
"""
)
