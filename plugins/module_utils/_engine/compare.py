# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of somebody else's mail configuration a run would put out of force, asked of all programs at once."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import dispatch, rivals
from ansible_collections.postamt.mail.plugins.module_utils._engine.adopt import Comparison
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed


def apply(module: AnsibleModule) -> None:
    """Compare each program with its plan in the request's `plans`; ends the module, which changes nothing."""
    found: dict[str, Comparison] = {}
    plans = module.params["request"]["plans"]
    try:
        servers = rivals.found() if any("postfix" in plan["packages"] for plan in plans.values()) else []
        for name, plan in plans.items():
            found[name] = dispatch.compare(name, plan)
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
