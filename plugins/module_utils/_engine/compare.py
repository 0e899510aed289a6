# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of somebody else's mail configuration a run would put out of force, asked of all programs at once."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import rivals
from ansible_collections.postamt.mail.plugins.module_utils._engine.adopt import Comparison, compare
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._programs import amavis, clamav, dovecot, postfix, sasl
from ansible_collections.postamt.mail.plugins.module_utils._slapd import ldap

PROGRAMS = {
    "amavis": amavis.Amavis,
    "clamav": clamav.Clamav,
    "dovecot": dovecot.Dovecot,
    "postfix": postfix.Postfix,
    "sasl": sasl.Sasl,
}


def compared(name: str, module: AnsibleModule, plan: dict[str, Any]) -> Comparison:
    """Return how one program of the host differs from its plan."""
    return ldap.compare(plan) if name == "ldap" else compare(PROGRAMS[name](plan))


def apply(module: AnsibleModule) -> None:
    """Compare each program with its plan in the request's `plans`; ends the module, which changes nothing."""
    found: dict[str, Comparison] = {}
    plans = module.params["request"]["plans"]
    try:
        servers = rivals.found() if any("postfix" in plan["packages"] for plan in plans.values()) else []
        for name, plan in plans.items():
            found[name] = compared(name, module, plan)
    except (Failed, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        rivals=rivals.refusal(servers),
        what=[what for one in found.values() for what in one.what],
        difference="".join(one.difference for one in found.values()),
        problems=[problem for one in found.values() for problem in one.problems],
        notes=[note for one in found.values() for note in one.notes],
    )
