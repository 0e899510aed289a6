"""The programs of tools/ as modules, for the tests of what they decide."""

from __future__ import annotations

import sys
import types
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def tool(name: str) -> types.ModuleType:
    """Load tools/NAME.py."""
    loader = SourceFileLoader(f"tools_{name}", str(TOOLS / f"{name}.py"))
    spec = spec_from_loader(loader.name, loader)
    assert spec
    module = sys.modules[loader.name] = module_from_spec(spec)  # where dataclasses look for it
    loader.exec_module(module)
    return module
