#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/dovecot; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: dovecot
short_description: Configure Dovecot as the site wants it
version_added: 0.1.0
description:
  - Brings C(dovecot.conf), packages and units of a host to what the site's C(mail_*) variables ask for,
    in the language of the Dovecot that is installed, 2.3 or 2.4. Everything is looked at in one call.
  - A change is staged, checked by C(doveconf), swapped in by renaming, and taken up by a reload. The
    health checks of before then run again; where an answer got worse, the old files come back and the
    task fails.
  - What the module wrote and is no longer wanted is removed.
  - Files that neither Debian's packages nor this module wrote stop the task unless C(mail_adopt) is true.
attributes:
  check_mode:
    details: C(doveconf) is asked too, where Dovecot is installed.
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
options:
  settings:
    type: dict
    default: {}
    description:
      - Settings of C(dovecot.conf) as a tree; a block is a mapping under its name, such as V(service
        lmtp).
      - They are merged last and win; C(null) removes one.
"""

EXAMPLES = r"""
- name: Configure Dovecot
  postamt.mail.dovecot:

- name: Configure Dovecot with a setting of my own
  postamt.mail.dovecot:
    settings:
      mail_max_userip_connections: 20
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
  sample:
    - wrote /etc/dovecot/dovecot.conf
    - reloaded Dovecot
"""
