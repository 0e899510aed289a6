#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/rspamd; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: rspamd
short_description: Signatures (Rspamd)
version_added: 0.1.0
description:
  - Runs Rspamd as a milter that signs the mail which the site sends, and stops it where it is no longer
    wanted.
  - It is a service of its own, C(postamt-rspamd). Debian's service C(rspamd) stays free for you.
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
options:
  settings:
    type: dict
    default: {}
    description:
      - 'Sections of Rspamd''s configuration by name, such as V({logging: {level: info}}). They are merged
        with those of the collection, option by option.'
      - They are merged last and win; C(null) removes one.
"""

EXAMPLES = r"""
- name: Signatures (Rspamd)
  postamt.mail.rspamd:
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
"""
