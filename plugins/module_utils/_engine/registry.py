# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Written by `make generate`: the code of each program with steps of its own, and of each job."""

from __future__ import annotations

from types import ModuleType


def code_of(name: str) -> ModuleType | None:
    """Return the code by a name; None where there is none.

    Ansible sends to a host what is imported by name, and a call needs one of these only.
    """
    if name == "accounts":
        from ansible_collections.postamt.mail.plugins.module_utils._accounts import accounts

        return accounts
    if name == "certificates":
        from ansible_collections.postamt.mail.plugins.module_utils._tls import certificates_steps

        return certificates_steps
    if name == "compare":
        from ansible_collections.postamt.mail.plugins.module_utils._engine import compare

        return compare
    if name == "ldap":
        from ansible_collections.postamt.mail.plugins.module_utils._slapd import ldap_steps

        return ldap_steps
    if name == "move_directory":
        from ansible_collections.postamt.mail.plugins.module_utils._slapd import move_directory

        return move_directory
    if name == "quarantine":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import quarantine

        return quarantine
    if name == "remove":
        from ansible_collections.postamt.mail.plugins.module_utils._engine import remove

        return remove
    if name == "reports":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import reports

        return reports
    return None
