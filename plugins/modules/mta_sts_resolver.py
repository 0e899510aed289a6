#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/mta_sts_resolver; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: mta_sts_resolver
short_description: Policies of other mail servers (MTA-STS)
version_added: 0.1.0
description:
  - Runs postfix-mta-sts-resolver, which fetches the MTA-STS policies of other domains for Postfix, and
    stops it where it is no longer wanted.
  - What it does follows from the site's variable C(mail_mta_sts_check).
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
"""

EXAMPLES = r"""
- name: Policies of other mail servers (MTA-STS)
  postamt.mail.mta_sts_resolver:
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
"""
