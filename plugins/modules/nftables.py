#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/nftables; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: nftables
short_description: Let nobody but the site's hosts reach a mail host's internal ports
version_added: 0.1.0
description:
  - Keeps a table of nftables of the collection's own, C(inet postamt), loaded by C(postamt-firewall.service),
    about the ports that the site's hosts open for each other and no other, and drops what comes from
    elsewhere.
  - Rules of anybody else are neither flushed nor changed.
  - Everything is looked at in one call; nothing is done where nothing differs.
  - A host that opens no such port any more, and a site with C(mail_firewall=false), has the table removed.
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
"""

EXAMPLES = r"""
- name: Firewall of the internal ports
  postamt.mail.nftables:
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
  sample:
    - wrote /etc/postamt/nftables.conf
    - reloaded the firewall
"""
