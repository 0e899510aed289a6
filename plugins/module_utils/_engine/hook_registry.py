# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Written by `make generate`: the file of each program that has hooks."""

from __future__ import annotations

from types import ModuleType


def code_of(name: str) -> ModuleType | None:
    """Return the code by a name; None where there is none.

    Ansible sends to a host what is imported by name, and a call needs one of these only.
    """
    if name == "amavis":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import amavis

        return amavis
    if name == "certificates":
        from ansible_collections.postamt.mail.plugins.module_utils._tls import certificates

        return certificates
    if name == "clamav":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import clamav

        return clamav
    if name == "dovecot":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import dovecot

        return dovecot
    if name == "haproxy":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import haproxy

        return haproxy
    if name == "ldap":
        from ansible_collections.postamt.mail.plugins.module_utils._slapd import ldap

        return ldap
    if name == "mta_sts_server":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import mta_sts_server

        return mta_sts_server
    if name == "nftables":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import nftables

        return nftables
    if name == "postfix":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import postfix

        return postfix
    if name == "postsrsd":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import postsrsd

        return postsrsd
    if name == "rspamd":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import rspamd

        return rspamd
    if name == "sasl":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import sasl

        return sasl
    if name == "unbound":
        from ansible_collections.postamt.mail.plugins.module_utils._programs import unbound

        return unbound
    return None
