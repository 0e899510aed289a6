#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/mta_sts_server; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: mta_sts_server
short_description: The site's own policy for other mail servers (MTA-STS)
version_added: 0.1.0
description:
  - Serves the site's MTA-STS policy at port 443 of its mail exchangers, and stops that where it is no
    longer wanted.
  - What it serves follows from the site's C(mail_mta_sts) variables.
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
"""

EXAMPLES = r"""
- name: Policy for other mail servers
  postamt.mail.mta_sts_server:
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
"""
