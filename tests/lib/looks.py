"""What a look at a host has found, said in plain values: the model's types stand for values that have been checked."""

from __future__ import annotations

from typing import Any

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Look


def looked(**found: Any) -> Look:
    """Return what a host has said of itself, the rest as of a fresh host; nothing of it is checked."""
    return Look(**found)
