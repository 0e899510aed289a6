# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One read-only look at a host: what it is like, and which programs are as the last run left them."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import compare, host, program, unchanged
from ansible_collections.postamt.mail.plugins.module_utils._slapd import ldap
from ansible_collections.postamt.mail.plugins.module_utils._tls import certificates


def as_left() -> dict[str, Any]:
    """Return which programs are as the last run left them, why others are not, and the certificates if they are."""
    found, doubts = unchanged.settled(_kind)
    there = {"certificates": certificates.as_recorded()} if "certificates" in found else {}
    return {"settled": found, "doubts": doubts, **there}


def _kind(name: str) -> type[program.Program]:
    own = {"ldap": ldap.Slapd, "certificates": certificates.Upkeep}
    return own.get(name) or compare.PROGRAMS.get(name, program.Program)


def apply(module: AnsibleModule) -> None:
    """Return the look; ends the module. The request's `settled` asks for more than what the host is like."""
    more = as_left() if module.params["request"].get("settled") else {}
    module.exit_json(changed=False, look=host.look(module), **more)
