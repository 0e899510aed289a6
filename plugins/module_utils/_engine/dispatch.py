# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the name of a program or a job to its code on the host.

The engine applies programs. One that differs has a file of its name: with a subclass of the engine's Program, or, where
the engine does not fit, with a function apply(module) and a class Transaction of its own.
"""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import program, registry


def apply(name: str, module: AnsibleModule) -> None:
    """Do what a program's plan or a job says in the module's request; ends the module."""
    code = registry.code_of(name)
    if code and hasattr(code, "apply"):
        code.apply(module)
    else:
        program.execute(transaction(name, module, module.params["request"]))


def transaction(name: str, module: AnsibleModule, request: dict[str, Any]) -> program.Transaction:
    """Return what applies a program's plan, or compares the host with it."""
    own = _own(name, program.Transaction)
    if own:
        made: program.Transaction = own(module, request)
        return made
    return program.Transaction(hooks(name), module, request)


def hooks(name: str) -> type[program.Program]:
    """Return the class that says in what a program differs from others."""
    found: type[program.Program] = _own(name, program.Program) or program.Program
    return found


def stays(name: str) -> dict[str, str]:
    """Return what a program says on this host itself about what stays there when it goes, with its place."""
    code = registry.code_of(name)
    found: dict[str, str] = code.stays() if code and hasattr(code, "stays") else {}
    return found


def _own(name: str, kind: type) -> Any:
    """Return the subclass of a class of the engine in the code of a program; None where it has none."""
    code = registry.code_of(name)
    own = [value for value in vars(code).values() if value.__class__ is type] if code else []
    return next((value for value in own if issubclass(value, kind) and value is not kind), None)
