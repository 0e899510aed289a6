"""A site that does nothing beside plain mail: no signatures, no rewriting, no checks of senders or servers."""

from __future__ import annotations

import typing as t

BARE: dict[str, t.Any] = {
    "mail_authentication": False,
    "mail_dkim": False,
    "mail_from_of_users": "any",
    "mail_srs": False,
    "mail_dane": False,
    "mail_mta_sts_check": False,
}
