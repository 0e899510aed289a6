# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who changes accounts between two runs: what postamt.mail.account asks of the place where accounts live."""

from __future__ import annotations

import abc
import dataclasses
import typing as t
from collections.abc import Callable, Iterable, Iterator, Sequence

from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Address, Login, Size

if t.TYPE_CHECKING:
    from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Function, Host
    from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

Result = dict[str, t.Any]
Ask = Callable[[Result], Result]  # sends a request to the task's host, and returns the checked answer
STATES = ("listed", "present", "enabled", "disabled", "absent", "password", "purged")


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the task says, typed; None where it says nothing."""

    state: t.Literal["listed", "present", "enabled", "disabled", "absent", "password", "purged"]
    account: Address | None = None
    name: str | None = None
    quota: Size | None = None
    aliases: list[Login] | None = None
    forward: list[Address] | None = None
    keep_copy: bool | None = None

    @property
    def said(self) -> Result:
        """What is said of the account."""
        given = {name: getattr(self, name) for name in ("name", "quota", "aliases", "forward", "keep_copy")}
        return {name: value for name, value in given.items() if value is not None}


class AccountStore(abc.ABC):
    """A place where accounts are listed, added, changed, enabled, disabled and removed, and get passwords.

    This is its half on the controller: on which host, what is refused, and what the host has to know. The other half
    is on that host (module_utils/_accounts/store.py).
    """

    code: t.ClassVar[str]  # which half does the work on the host (module_utils/_accounts/accounts.py)
    function: t.ClassVar[Function]  # the group of the hosts that hold accounts

    def choose(self, hosts: Sequence[str], provider: str) -> str:
        """Return which of the hosts with the function takes changes; provider: mail_directory_provider, or empty."""
        return hosts[0]

    def place(self, site: Site) -> Host | None:
        """Return the host that takes changes."""
        names = [host.name for host in site.hosts_with(self.function)]
        return site.hosts[self.choose(names, site.core.mail_directory_provider or "")] if names else None

    @abc.abstractmethod
    def check(self, site: Site, asked: Asked) -> Iterator[Problem]:
        """Yield why this store cannot do what is asked for. What holds for all stores has been checked before."""

    @abc.abstractmethod
    def request(self, site: Site, asked: Asked, password: str) -> Result:
        """Return what the host has to know, beside what all stores are told (plugins/action/account.py).

        password: the new one that the account may get.
        """

    def keeps(self, site: Site, address: str) -> bool:
        """Tell whether an account's password is a generated one that the controller keeps."""
        return False

    def forgotten(self, site: Site, deleted: Iterable[str]) -> set[str]:
        """Return the names of the kept passwords that go with deleted accounts."""
        return set()

    def execute(self, ask: Ask, request: Result) -> Result:
        """Have the request done and return the answer; a store that is on no host asks its own server instead."""
        return ask({**request, "store": self.code})
