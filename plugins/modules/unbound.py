#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/unbound; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: unbound
short_description: Resolver (Unbound)
version_added: 0.1.0
description:
  - Runs Unbound as a resolver that validates answers of the DNS (DNSSEC) for Postfix of the same host,
    and stops it where it is no longer wanted.
  - It is a service of its own, C(postamt-resolver), at 127.0.0.153. Debian's service C(unbound) and C(/etc/resolv.conf)
    stay free for you.
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
options:
  settings:
    type: dict
    default: {}
    description:
      - Options of the section C(server) (I(unbound.conf(5))), such as V(cache-max-ttl). A value may be
        text, a number, a boolean, or a list of these for an option that stands several times.
      - They are merged last and win; C(null) removes one.
"""

EXAMPLES = r"""
- name: Resolver (Unbound)
  postamt.mail.unbound:
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
"""
