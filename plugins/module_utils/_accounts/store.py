# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a place where accounts live can do between two runs, on its host; the other half is _lookups/store.py."""

from __future__ import annotations

import abc
import shutil
from typing import Any, ClassVar

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import units


def kick(login: str) -> None:
    """End the sessions of an account; login: the name by which Dovecot knows it."""
    if shutil.which("doveadm"):
        units.output("doveadm", "kick", login, check=False)


class AccountStore(abc.ABC):
    """One call: what the request asks for. In check mode a method says what it would do, and changes nothing.

    Each method raises Failed for what cannot be done. What was done is in `actions`, one sentence each; `answer` has
    what else is returned (RETURN of plugins/modules/account.py).
    """

    lock: ClassVar[str]  # whose lock is held meanwhile, see locks.alone()

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.dry: bool = module.check_mode
        self.request: dict[str, Any] = module.params["request"]
        self.actions: list[str] = []
        self.answer: dict[str, Any] = {"password_set": False, "deleted": [], "left": {}}

    def execute(self) -> None:
        """Do what the request's `state` says, and list the accounts as they are afterwards."""
        state, address = self.request["state"], self.request["account"]
        self.look()
        if state == "purged":
            self.purge()
        elif state != "listed":
            ways = {
                "present": self.add,
                "enabled": self.enable,
                "disabled": self.disable,
                "absent": self.remove,
                "password": self.set_password,
            }
            ways[state](address)
        self.finish()
        if self.actions and not self.dry:
            self.look()
        self.answer["accounts"] = self.listed()

    @abc.abstractmethod
    def look(self) -> None:
        """Find out which accounts there are."""

    @abc.abstractmethod
    def listed(self) -> list[dict[str, Any]]:
        """Return the accounts by address, as they were seen last (`accounts` of RETURN)."""

    @abc.abstractmethod
    def add(self, address: str) -> None:
        """Add an account with the request's password, or change what is said of it."""

    @abc.abstractmethod
    def enable(self, address: str) -> None:
        """Let an account log in."""

    @abc.abstractmethod
    def disable(self, address: str) -> None:
        """Let an account no longer log in, and end its sessions; its mail is kept."""

    @abc.abstractmethod
    def set_password(self, address: str) -> None:
        """Set the request's password; a disabled account stays disabled."""

    def remove(self, address: str) -> None:
        """Disable an account that may be deleted after days of grace."""
        raise units.Failed("accounts are not removed here")

    def purge(self) -> None:
        """Delete the accounts whose days of grace are over, with their mail."""
        raise units.Failed("accounts are not deleted here")

    def finish(self) -> None:
        """Keep what is to be remembered of the request; nothing unless a store has a record of its own."""
        return
