#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: apply_plan
short_description: Apply on a host what an action has derived
version_added: 0.1.0
description:
  - The part of this collection's modules that runs on the host. Their actions call it; playbooks do not.
  - It is one module for all programs, so that Ansible puts it together once a run and not once a program.
extends_documentation_fragment: [postamt.mail._module, postamt.mail._module.program]
options:
  program:
    description: The program, or the job that is none, such as C(compare).
    type: str
    required: true
  request:
    description: What the program's code is asked for, its C(plan) among it.
    type: dict
    default: {}
  secrets:
    description: Texts that no output may show.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Compare what somebody else has configured with no plan at all
  postamt.mail.apply_plan:
    program: compare
    request: {plans: {}}
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: where a plan is applied
  type: list
  elements: str
missing:
  description: Packages and users that have to be there first; the action installs or creates them and calls again.
  returned: where a plan is applied
  type: dict
passwords_needed:
  description: Accounts (address) and services (service:NAME) whose password has to be applied; the action calls again.
  returned: from the directory
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import dispatch, module

OPTIONS = {
    "program": {"type": "str", "required": True},
    "request": {"type": "dict", "default": {}},
    "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
}


def work(here: AnsibleModule) -> None:
    """Do what the options say."""
    dispatch.apply(here.params["program"], here)


def main() -> None:
    module.run(work, OPTIONS)


if __name__ == "__main__":
    main()
