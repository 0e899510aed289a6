#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/clamav; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: clamav
short_description: Configure ClamAV as the site wants it
version_added: 0.1.0
description:
  - Brings C(clamd), C(freshclam) and the site's own signatures to what the site's C(mail_*) variables
    ask for. Everything is looked at in one call; nothing is done where nothing differs.
  - A change is staged, read by C(clamconf) and, where signatures are new, by C(clamscan), swapped in
    by renaming, and taken up. clamd is then asked; where it no longer answers, the old files come back
    and the task fails.
  - What the module wrote and is no longer wanted is removed.
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
options:
  settings:
    type: dict
    default: {}
    description:
      - Options of C(clamd.conf) (I(clamd.conf(5))), such as V(MaxScanTime).
      - They are merged last and win; C(null) removes one.
"""

EXAMPLES = r"""
- name: Configure ClamAV
  postamt.mail.clamav:

- name: Configure ClamAV with a setting of my own
  postamt.mail.clamav:
    settings:
      MaxScanTime: 30000
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
  sample:
    - wrote /etc/clamav/clamd.conf
    - restarted ClamAV
"""
