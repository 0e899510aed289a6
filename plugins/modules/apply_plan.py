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
    description: Whose code runs, a file of this name in C(module_utils).
    type: str
    choices:
      [
        accounts,
        amavis,
        certificates,
        clamav,
        compare,
        dovecot,
        haproxy,
        host,
        ldap,
        move_directory,
        nftables,
        postfix,
        quarantine,
        remove,
        sasl,
      ]
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
- name: See what a host is like, as postamt.mail.host_look does
  postamt.mail.apply_plan:
    program: host
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

import os
from types import ModuleType

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import units, watchdog


def code_of(program: str) -> ModuleType:
    """Return the code of a program. Ansible sends what is imported by name, and a call needs one of these only."""
    code: ModuleType
    if program == "accounts":
        from ansible_collections.postamt.mail.plugins.module_utils._accounts import accounts as code
    elif program == "amavis":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import amavis as code
    elif program == "clamav":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import clamav as code
    elif program == "certificates":
        from ansible_collections.postamt.mail.plugins.module_utils._tls import certificates as code
    elif program == "compare":
        from ansible_collections.postamt.mail.plugins.module_utils._engine import compare as code
    elif program == "dovecot":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import dovecot as code
    elif program == "haproxy":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import haproxy as code
    elif program == "host":
        from ansible_collections.postamt.mail.plugins.module_utils._engine import look as code
    elif program == "ldap":
        from ansible_collections.postamt.mail.plugins.module_utils._slapd import ldap as code
    elif program == "move_directory":
        from ansible_collections.postamt.mail.plugins.module_utils._slapd import move_directory as code
    elif program == "nftables":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import nftables as code
    elif program == "postfix":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import postfix as code
    elif program == "quarantine":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import quarantine as code
    elif program == "remove":
        from ansible_collections.postamt.mail.plugins.module_utils._engine import remove as code
    else:
        from ansible_collections.postamt.mail.plugins.module_utils._programs import sasl as code
    return code


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "program": {
                "type": "str",
                "choices": [
                    "accounts",
                    "amavis",
                    "certificates",
                    "clamav",
                    "compare",
                    "dovecot",
                    "haproxy",
                    "host",
                    "ldap",
                    "move_directory",
                    "nftables",
                    "postfix",
                    "quarantine",
                    "remove",
                    "sasl",
                ],
                "required": True,
            },
            "request": {"type": "dict", "default": {}},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
        },
        supports_check_mode=True,
    )
    program = module.params["program"]
    watchdog.start(f"{program} on this host")
    units.set_runner(module)
    os.umask(0o022)  # for the commands that it calls: the login's may be stricter
    try:
        code_of(program).apply(module)
    except OSError as error:
        module.fail_json(msg=f"{program}: {error}")


if __name__ == "__main__":
    main()
