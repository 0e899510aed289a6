# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the name of a program or a job to its code on the host.

The engine applies programs. One that differs has a file of its name, with a subclass of Program; where the engine does
not fit, it has functions apply(module) and compare(plan) of its own.
"""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import adopt, registry, transaction
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program


def apply(name: str, module: AnsibleModule) -> None:
    """Do what a program's plan or a job says in the module's request; ends the module."""
    code = registry.code_of(name)
    if code and hasattr(code, "apply"):
        code.apply(module)
    else:
        transaction.run(hooks(name), module)


def compare(name: str, plan: dict[str, Any]) -> adopt.Comparison:
    """Return how somebody else's configuration of a program differs from its plan."""
    code = registry.code_of(name)
    found: adopt.Comparison = (
        code.compare(plan) if code and hasattr(code, "compare") else adopt.compare(hooks(name)(plan))
    )
    return found


def hooks(name: str) -> type[Program]:
    """Return the class that says in what a program differs from others."""
    code = registry.code_of(name)
    own = [value for value in vars(code).values() if value.__class__ is type] if code else []
    return next((value for value in own if issubclass(value, Program) and value is not Program), Program)


def stays(name: str) -> dict[str, str]:
    """Return what a program says on this host itself about what stays there when it goes, with its place."""
    code = registry.code_of(name)
    found: dict[str, str] = code.stays() if code and hasattr(code, "stays") else {}
    return found
