# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One read-only look at a host: what it is like, and which programs are as the last run left them."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import hooks, host, unchanged
from ansible_collections.postamt.mail.plugins.module_utils._tls import exchanger


def as_left() -> dict[str, Any]:
    """Return which programs are as the last run left them, why others are not, and what is judged or told again."""
    found, doubts = unchanged.settled(hooks.of)
    seen = {name: there for name, last in found.items() if (there := hooks.of(name)(last["plan"]).seen())}
    notes = {name: last["notes"] for name, last in found.items() if last.get("notes")}
    digests = {name: last["digest"] for name, last in found.items()}
    parts = {name: last["plan"]["parts"] for name, last in found.items() if "parts" in last["plan"]}
    return {"settled": digests, "doubts": doubts, "seen": seen, "notes": notes, "parts": parts}


def apply(module: AnsibleModule) -> None:
    """Return the look; ends the module. The request's `settled` asks for more than what the host is like."""
    more = as_left() if module.params["request"].get("settled") else {}
    if module.params["port_25"] and (chains := exchanger.chains()) is not None:
        more["chains"] = chains
    module.exit_json(changed=False, look=host.look(module), **more)
