#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: move_directory
short_description: Move the directory to the host that the inventory names
version_added: 0.1.0
description:
  - One of three steps of the playbook C(postamt.mail.move_directory), which is the way to use it. Runs on all hosts of
    the site, and each does its own part.
  - Entries and passwords, and the record of what was applied, go to the host that is to take changes. The host that
    has had the directory answers lookups meanwhile, takes no changes, and keeps its database.
  - Whatever is interrupted can be run again.
extends_documentation_fragment: [postamt.mail._module, postamt.mail._module.deed]
options:
  step:
    description:
      - V(take) has the host that holds the directory take no more changes, and gets its content.
      - V(bring) leaves that on the host that the inventory names, for the role C(ldap) to take it up.
      - V(close) notes on the first host that the directory is elsewhere now.
    type: str
    choices: [take, bring, close]
    required: true
"""

EXAMPLES = r"""
- name: Get the directory from the host that holds it
  postamt.mail.move_directory:
    step: take
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: on the host that has done something
  type: list
  elements: str
accounts:
  description: How many accounts there are.
  returned: from the host that holds the directory
  type: int
"""
