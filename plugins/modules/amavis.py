#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/amavis; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: amavis
short_description: Configure amavis as the site wants it
version_added: 0.1.0
description:
  - Brings amavis, with SpamAssassin in it, to what the site's C(mail_*) variables ask for, in settings,
    rules, packages and unit. Everything is looked at in one call; nothing is done where nothing differs.
  - A change is staged, read by C(amavisd) and C(spamassassin --lint), swapped in by renaming, and taken
    up by a reload. amavis is then asked on each of its ports; where it no longer answers, the old files
    come back and the task fails.
  - What the module wrote and is no longer wanted is removed.
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
options:
  settings:
    type: dict
    default: {}
    description:
      - Variables of amavis with their sigil, such as V($max_requests) (I(amavisd-new(8))).
      - They are merged last and win; C(null) removes one.
"""

EXAMPLES = r"""
- name: Configure amavis
  postamt.mail.amavis:

- name: Configure amavis with a setting of my own
  postamt.mail.amavis:
    settings:
      $max_requests: 20
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
  sample:
    - wrote /etc/amavis/conf.d/60-postamt
    - reloaded amavis
"""
