#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: dns
short_description: Compare the site's DNS records with what the DNS answers
version_added: 0.1.0
description:
  - Derives the DNS records that the site's domains need, asks resolvers for them, and prints a table of what is missing
    or wrong. It also looks at the names (PTR) of the addresses that send mail. Needs the Python package dnspython on
    the controller.
  - Where C(mail_zone_dir) is set, writes a zone file for each domain and C(dns-report.json) there, but not in check
    mode.
  - With O(push), it first sends the records to the name server that C(mail_dns_update) names. It adds what is missing
    there, and deletes only what it has sent before and what the site no longer needs.
  - It remembers in C(mail_state_dir) which TLSA records the zones and the DNS had, but not in check mode.
  - It is an action on the controller, and runs once for all hosts. C(host_look) has to see the hosts first.
options:
  resolvers:
    description:
      - Resolvers to ask, each as C(ADDRESS) or C(ADDRESS#PORT). By default those of the controller.
    type: list
    elements: str
    default: []
  push:
    description: Whether to send the records to the name server in C(mail_dns_update).
    type: bool
    default: false
  strict:
    description: Whether the task fails if a record is missing, different, or could not be looked up.
    type: bool
    default: false
extends_documentation_fragment: [postamt.mail._module, postamt.mail._module.deed]
"""

EXAMPLES = r"""
- name: See what the hosts are
  postamt.mail.host_look:
    port_25: true
  register: __mail_look

- name: Fail where a record is not right for the rest of the world
  postamt.mail.dns:
    resolvers: [192.0.2.53, "2001:db8::53#5353"]
    strict: true
  run_once: true
"""

RETURN = r"""
domains:
  description:
    - By domain, C(records) and C(findings). A record has C(owner), C(kind), C(data), and as C(status) right, different,
      missing or unknown (nobody could say). C(found) is what the DNS has in its place, C(note) what that means, and
      C(harmless) is true where it may stay.
    - A finding is a sentence (C(text)) and whether mail suffers from it (C(serious)).
  returned: always, unless a variable is wrong
  type: dict
findings:
  description: Findings on mail exchangers, whichever domain their names are in.
  returned: always, unless a variable is wrong
  type: list
  elements: dict
addresses:
  description: As C(records), the name (PTR) that each address should have from which the site sends.
  returned: always, unless a variable is wrong
  type: list
  elements: dict
zones:
  description: Lines of a zone file by its name.
  returned: always, unless a variable is wrong
  type: dict
  sample: {example.org.zone: ["example.org. 3600 IN MX 10 mail.example.org."]}
pushed:
  description: What was C(added) and C(deleted), and what was C(refused) and why.
  returned: with O(push)
  type: dict
"""
