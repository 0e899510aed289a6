#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/sasl; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: sasl
short_description: Configure saslauthd for Postfix as the site wants it
version_added: 0.1.0
description:
  - Runs C(saslauthd) in a unit of its own, its socket in Postfix's chroot, against the directory or PAM
    as the site's C(mail_*) variables ask for. Debian's own unit is stopped and disabled.
  - Everything is looked at in one call; nothing is done where nothing differs. After a change C(saslauthd)
    is asked whether it answers; where it did before and does not any more, the old files come back and
    the task fails.
  - What the module wrote and is no longer wanted is removed.
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
options:
  settings:
    type: dict
    default: {}
    description:
      - Settings of C(saslauthd) for LDAP (its document C(LDAP_SASLAUTHD)), such as C(ldap_timeout).
      - They are merged last and win; C(null) removes one.
"""

EXAMPLES = r"""
- name: Configure saslauthd
  postamt.mail.sasl:

- name: Give up sooner when the directory does not answer
  postamt.mail.sasl:
    settings:
      ldap_timeout: 3
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
  sample:
    - wrote /etc/saslauthd-postfix.conf
    - restarted saslauthd
"""
