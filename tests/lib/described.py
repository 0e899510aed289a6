# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plans with nothing in them but what their program is."""

from __future__ import annotations

from typing import Any

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose


def described(program: str, **more: Any) -> dict[str, Any]:
    """Return the beginning of a program's plan; more: what else it shall have."""
    return {"program": compose.programs()[program].PROGRAM.for_host(program), **more}
