#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: compare
short_description: Stop before a mail configuration of somebody else
version_added: 0.1.0
description:
  - Compares the programs that are configured on the host, and that this collection has never set up there, with what
    the site's variables want, all at once and before anything is changed.
  - Fails with the differences where files come neither from Debian's packages nor from this collection, unless
    C(mail_adopt) is true. Values of settings whose names speak of passwords are left out.
  - Fails also with C(mail_adopt) where users would not find their mailboxes again.
extends_documentation_fragment: [postamt.mail._module, postamt.mail._module.look]
"""

EXAMPLES = r"""
- name: See what the host is
  postamt.mail.host_look:
  register: __mail_look

- name: Stop before a mail configuration of somebody else
  postamt.mail.compare:
  when: __mail_look.look.unclaimed | length > 0
"""

RETURN = r""" # """
