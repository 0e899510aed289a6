#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: show
short_description: Show what a host would get
version_added: 0.1.0
description:
  - Returns each program's packages, units, files and entries as the site's C(mail_*) variables mean them, with secrets
    hidden, and the zone files that the site needs. Hosts are looked at and not changed.
  - Where C(mail_zone_dir) is set, the zone files are written there on the controller.
extends_documentation_fragment: [postamt.mail._module, postamt.mail._module.look]
options:
  query:
    description: A JMESPath expression that picks from what would be shown. Needs the Python package jmespath.
    type: str
"""

EXAMPLES = r"""
- name: Show what Postfix would get
  postamt.mail.show:
    query: postfix.files
"""

RETURN = r"""
host:
  description: By program, its packages, units, files by path and entries; or what the query picked.
  returned: success
  type: raw
zones:
  description: Lines of a zone file by its name.
  returned: success
  type: dict
  sample: {example.org.zone: ["example.org. 3600 IN MX 10 mail.example.org."]}
"""
