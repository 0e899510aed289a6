# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Lua modules of Rspamd read in a field with addresses: only what every mail program reads there as well."""

from __future__ import annotations

BARE = """\
-- What is left of a field without its quoted names and comments; nil where either does not end, or a comment could be
-- read as an address. Encoded words stay as they are: mail programs decode names after they have found the addresses.
local function bare(text)
  local left, depth, quoted, i = {}, 0, false, 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == '\\\\' and (quoted or depth > 0) then
      if i == #text then return nil end
      i = i + 1
    elseif quoted then
      quoted = c ~= '"'
    elseif depth > 0 then
      if c:find('[<>"@]') then return nil end
      depth = depth + (c == '(' and 1 or c == ')' and -1 or 0)
    elseif c == '"' then
      quoted = true
      table.insert(left, '"')
    elseif c == '(' then
      depth = 1
      table.insert(left, ' ')
    else
      table.insert(left, c)
    end
    i = i + 1
  end
  return not quoted and depth == 0 and table.concat(left) or nil
end

-- Whether there is such a field with blanks before its colon. Some programs take them for a part of the name.
local function spaced(task, name)
  return ('\\n' .. tostring(task:get_raw_headers() or ''):lower()):find('\\n' .. name .. '[ \\t]+:') ~= nil
end
"""
