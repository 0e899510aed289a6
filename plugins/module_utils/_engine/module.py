# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a module of this collection runs on a host."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import units, watchdog


def run(work: Callable[[AnsibleModule], None], options: Mapping[str, Any], what: str = "") -> None:
    """Run a module's work, which ends the module.

    options: its argument_spec. what: what works, for messages; empty for what the option `program` names.
    """
    module = AnsibleModule(argument_spec=dict(options), supports_check_mode=True)
    what = what or module.params["program"]
    watchdog.start(f"{what} on this host")
    units.set_runner(module)
    os.umask(0o022)  # for the commands that it calls: the login's may be stricter
    try:
        work(module)
    except OSError as error:
        module.fail_json(msg=f"{what}: {error}")
