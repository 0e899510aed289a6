"""What this scenario does on one release only."""

from __future__ import annotations

import os

# Its two sites are of both releases, and write to each other both ways: as for scenario hosts, once is enough.
collect_ignore = [] if os.environ.get("RELEASE", "trixie") == "trixie" else ["test_two_sites.py"]
