#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/postgrey; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: postgrey
short_description: Greylisting (postgrey)
version_added: 0.1.0
description:
  - Runs postgrey on one mail exchanger, for Postfix of all exchangers to ask about mail from the internet,
    and stops it where it is no longer wanted.
  - What it does follows from the site's C(mail_greylisting) variables.
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
options:
  settings:
    type: dict
    default: {}
    description:
      - Options of postgrey (I(postgrey(8))) without their dashes, such as V(max-age).
      - They are merged last and win; C(null) removes one.
"""

EXAMPLES = r"""
- name: Greylisting (postgrey)
  postamt.mail.postgrey:
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
"""
