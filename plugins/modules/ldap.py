#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/ldap; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: ldap
short_description: Bring about the site's directory on a host
version_added: 0.1.0
description:
  - Makes C(cn=config) and the entries of the site's OpenLDAP directory as the site means them, over one
    connection through C(ldapi:///).
  - A change of C(cn=config) is tried first on a second, private slapd that has a copy of it.
  - What others added through LDAP stays, what left the inventory goes, and a password that a user changed
    is kept.
attributes:
  check_mode:
    description: Can run in check mode and then says what it would do.
  diff_mode:
    description: Returns what changed when run in diff mode, never a password.
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
options:
  settings:
    type: dict
    default: {}
    description:
      - Attributes of C(cn=config) (I(slapd-config(5)), I(slapd-mdb(5))) by section, which are V(global),
        V(frontend) and V(database). A value may be text, a number, a boolean or a list.
      - They are merged last and win; C(null) removes one.
"""

EXAMPLES = r"""
- name: Directory
  postamt.mail.ldap:
    settings:
      global:
        olcIdleTimeout: 600
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
notes:
  description: What was found and left as it is, such as passwords that users changed.
  returned: success
  type: list
  elements: str
"""
