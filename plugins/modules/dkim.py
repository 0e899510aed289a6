#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: dkim
short_description: Show or change the keys that sign the site's mail
version_added: 0.1.0
description:
  - Does one step towards new keys for DKIM, or shows the keys of each domain. The playbook C(postamt.mail.dkim) is the
    way to use it.
  - Runs on the controller. It asks the DNS, and changes the file C(dkim.json) in C(mail_state_dir) by one write. Hosts
    sign with other keys when C(postamt.mail.site) has deployed them.
  - A step is done for all domains that were asked for, or for none of them.
extends_documentation_fragment: [postamt.mail._module, postamt.mail._module.deed]
options:
  step:
    description:
      - V(publish) makes the next set of keys, where there is none, and returns the records to add to the DNS.
      - V(sign) has the next set sign, where the DNS shows all its records. The set that has signed until now is the
        former one then.
      - V(withdraw) deletes the former set, where the present one has signed for O(wait_days) days and the DNS shows its
        records. It returns the records to remove from the DNS.
      - V(deployed) is for the playbook C(postamt.mail.site) alone. It notes that a run has brought the keys to all
        hosts that sign.
      - Without it, the keys are shown.
    type: str
    choices: [publish, sign, withdraw, deployed]
  domains:
    description: For which domains; by default for all of the site for which the step is the next one.
    type: list
    elements: str
  confirmed:
    description: Whether you know that the DNS shows the records. It is not asked then.
    type: bool
    default: false
  resolvers:
    description: Whom to ask, as ADDRESS or ADDRESS#PORT; by default the controller's resolvers.
    type: list
    elements: str
  wait_days:
    description: For how many days a set has to sign before the former one can be withdrawn.
    type: int
    default: 7
"""

EXAMPLES = r"""
- name: Make the next keys
  postamt.mail.dkim:
    step: publish
  run_once: true

- name: Sign with them
  postamt.mail.dkim:
    step: sign
    domains: [example.org]
    resolvers: [192.0.2.53]
  run_once: true
"""

RETURN = r"""
actions:
  description: What was done for each domain, in short sentences; in check mode what would be done.
  returned: with O(step)
  type: list
  elements: str
records:
  description: Lines of a zone file, to add after V(publish) and to remove after V(withdraw).
  returned: with O(step), not in check mode
  type: list
  elements: str
  sample: ['ed20261128._domainkey.example.org. 3600 IN TXT "v=DKIM1; k=ed25519; p=..."']
deploys:
  description: Whether C(postamt.mail.site) has to run, for hosts to sign with other keys.
  returned: success
  type: bool
domains:
  description:
    - By domain, its sets of keys, each with its role, its date, since when it has this role (in seconds, UTC), and its
      records with what the DNS says of each (C(shown), C(missing), C(wrong) or C(unknown)).
    - C(next_step) is the step that comes next, and C(note) what has to be done or awaited before it.
  returned: without O(step)
  type: dict
"""
