#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/tlsrpt_reporter; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: tlsrpt_reporter
short_description: TLS reports to other domains (tlsrpt-reporter)
version_added: 0.1.0
description:
  - Runs tlsrpt-reporter, which counts for Postfix how TLS connections to other servers went and mails
    a report once a day to each domain that wants one, and stops it where it is no longer wanted.
  - 'It is no package of Debian''s: the site''s variable C(mail_tls_reporter) names the file that you
    have downloaded. Debian 12 cannot send reports.'
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
"""

EXAMPLES = r"""
- name: TLS reports to other domains (tlsrpt-reporter)
  postamt.mail.tlsrpt_reporter:
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
"""
