"""How the content filter's tests hand mail in and find it again; the fixtures are the scenario's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import Transaction

Filed = Callable[[str, str], bytes | None]


class Send(Protocol):
    """Send a message from outside, or as a user; to Anna where nobody is named."""

    def __call__(self, content: bytes, *to: str, user: str = "") -> Transaction: ...


class Has(Protocol):
    """Return a message from a user's folder, for which it waits for some seconds."""

    def __call__(self, who: str, token: str, folder: str = "INBOX", wait: float = 20) -> bytes | None: ...
