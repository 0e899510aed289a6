# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run says: actions and differences as they come, and where it ends."""

from __future__ import annotations

from typing import Any


class Stop(Exception):
    """The run ends here, and failed; the text is the whole message.

    more: what else the module answers.
    """

    def __init__(self, text: str, **more: Any) -> None:
        super().__init__(text)
        self.more = more


class Report:
    """What a run has done so far; dry: whether it only predicts (check mode)."""

    def __init__(self, dry: bool = False) -> None:
        self.dry = dry
        self.changed = False
        self.actions: list[str] = []
        self.diffs: list[dict[str, str]] = []

    def did(self, done: str, do: str, what: str) -> bool:
        """Note an action, as "wrote ..." or, in check mode, "would write ..."; tells whether to do it."""
        self.changed = True
        self.actions.append(f"would {do} {what}" if self.dry else f"{done} {what}")
        return not self.dry

    def note(self, text: str) -> None:
        """Note what changes nothing."""
        self.actions.append(text)

    def noted(self) -> dict[str, Any]:
        """Return all of it as a module answers it."""
        return {"changed": self.changed, "actions": self.actions, "diff": self.diffs}
