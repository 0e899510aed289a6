# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plus addresses: alice+shop@example.org reaches alice (RFC 5233)."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot

EVERYWHERE = ("postfix",)  # hosts that hand their mail on have it too


def postfix(site: Site, host: Host) -> Postfix:
    return Postfix(parameters={"recipient_delimiter": "+"})


def dovecot(site: Site, host: Host) -> Dovecot | None:
    return Dovecot(trunk={"recipient_delimiter": "+", "lmtp_save_to_detail_mailbox": False})
