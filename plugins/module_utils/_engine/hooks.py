# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a program's name to the class that says in what it differs from others.

A look at a host needs these classes and no more, so what applies plans is elsewhere (dispatch.py).
"""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.module_utils._engine import hook_registry
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program


def of(name: str) -> type[Program]:
    """Return the subclass of Program in a program's file; Program itself where it has none."""
    code = hook_registry.code_of(name)
    own = [value for value in vars(code).values() if value.__class__ is type] if code else []
    return next((value for value in own if issubclass(value, Program) and value is not Program), Program)
