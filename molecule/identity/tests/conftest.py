"""What this scenario does on one release only."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the two sites to one release: they are of both, and write to each other both ways."""
    if os.environ.get("RELEASE", "trixie") != "trixie":
        left = [item for item in items if item.path.name == "test_two_sites.py"]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
