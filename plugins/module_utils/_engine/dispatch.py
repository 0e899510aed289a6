# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the name of a program or a job to its code on the host.

The engine applies programs, with the hooks of those that differ (hooks.py). Where the engine does not fit, a program
has functions apply(module) and compare(plan) of its own.
"""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import adopt, hooks, registry, transaction


def apply(name: str, module: AnsibleModule) -> None:
    """Do what a program's plan or a job says in the module's request; ends the module."""
    code = registry.code_of(name)
    if code and hasattr(code, "apply"):
        code.apply(module)
    elif "plan" not in module.params["request"]:
        module.fail_json(msg=f"{name} is no job, and the request has no plan of a program")
    else:
        transaction.run(hooks.of(name), module)


def compare(name: str, plan: dict[str, Any]) -> adopt.Comparison:
    """Return how somebody else's configuration of a program differs from its plan."""
    code = registry.code_of(name)
    found: adopt.Comparison = (
        code.compare(plan) if code and hasattr(code, "compare") else adopt.compare(hooks.of(name)(plan))
    )
    return found
