"""A site that runs nothing for its mail's name in the world: no signatures, no checks or rewriting of senders."""

from __future__ import annotations

import typing as t

BARE: dict[str, t.Any] = {"mail_dkim": False, "mail_from_of_users": "any", "mail_srs": False}
