# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts between two runs, on the host where they live, or where their mailboxes are."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._accounts.store import AccountStore
from ansible_collections.postamt.mail.plugins.module_utils._accounts.users import Users
from ansible_collections.postamt.mail.plugins.module_utils._engine.locks import alone
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd.accounts import Accounts, do_left

STORES: dict[str, type[AccountStore]] = {"directory": Accounts, "system": Users}  # by `code` of _lookups/store.py


def apply(module: AnsibleModule) -> None:
    """Do what the request says; ends the module."""
    request = module.params["request"]
    if request["state"] == "left":
        do_left(module)
    call = STORES[request["store"]](module)
    try:
        with alone(call.lock):
            call.execute()
    except (Failed, OSError) as error:
        module.fail_json(msg=str(error), changed=bool(call.actions), actions=call.actions)
    module.exit_json(changed=bool(call.actions), actions=call.actions, **call.answer)
