# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ClamAV: signatures that lie on the controller."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._run.supplied_files import SuppliedFiles


class Exchange(SuppliedFiles):
    """Nothing else passes."""
