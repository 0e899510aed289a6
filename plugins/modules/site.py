#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: site
short_description: Check the site's variables and derive every host's plan once a run
version_added: 0.1.0
description:
  - Reads all C(mail_*) variables, checks them, and stops the run with one message that lists every problem.
  - What it derives stays in the private temporary folder of the running C(ansible-playbook) for the tasks of the roles.
  - Runs on the controller, once for all hosts of group C(mail), without a connection.
extends_documentation_fragment: [postamt.mail._module, postamt.mail._module.look]
attributes:
  check_mode:
    details: It then generates no password.
"""

EXAMPLES = r"""
- name: See what the hosts are
  postamt.mail.host_look:
  register: __mail_look

- name: Check and derive the site
  postamt.mail.site:
  register: __mail_site
"""

RETURN = r"""
site_token:
  description: Names what was derived, for the tasks of the roles in the same run.
  returned: success
  type: str
due:
  description:
    - By the names of the hosts, the programs that a host is to have, and those that have to go before others are
      changed. The roles of other programs have nothing to do there.
  returned: success
  type: dict
  sample: {mail.example.org: [certificates, ldap, sasl, dovecot, postfix]}
leaving:
  description:
    - By the names of the hosts, the programs that are set up there and no longer wanted, and those that only give up
      links to other hosts. They are changed when all programs that ask them have been changed.
  returned: success
  type: dict
  sample: {mail.example.org: [postsrsd]}
reached:
  description: The names of the hosts that this run has reached, also of those where the look at them has failed.
  returned: success
  type: list
  elements: str
away:
  description: >-
    A sentence on each host that this run does not reach, and whether it asks a directory that is the site's no more.
  returned: success
  type: list
  elements: str
"""
