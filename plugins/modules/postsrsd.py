#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/postsrsd; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: postsrsd
short_description: Senders of forwarded mail (PostSRSd)
version_added: 0.1.0
description:
  - Runs PostSRSd, which rewrites envelope senders of mail that the site forwards to other servers, and
    stops it where it is no longer wanted.
  - It is a service of its own, C(postamt-srs). What it does follows from the site's C(mail_srs) variables.
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
"""

EXAMPLES = r"""
- name: Senders of forwarded mail (PostSRSd)
  postamt.mail.postsrsd:
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
"""
