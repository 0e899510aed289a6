# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A name server that takes signed updates, as several subjects name one."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
import typing as t
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import PORTS, Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import IPAddress, Secret

_LABEL = "[A-Za-z0-9_-]{1,63}"


@dataclasses.dataclass(frozen=True)
class NameServer:
    """A name server that takes dynamic updates (RFC 2136), signed with a shared key (RFC 8945)."""

    server: IPAddress = var("Its address.", example="192.0.2.53")
    key_name: str = var("Name of the key.", example="mail-acme")
    key_secret: Secret = var("The key, in base64 as tsig-keygen(8) prints it.")
    key_algorithm: t.Literal["HMAC-SHA256", "HMAC-SHA384", "HMAC-SHA512"] = var("Its algorithm.", "HMAC-SHA256")
    port: int = var("Its port.", 53, within=PORTS)


def wrong(where: str, item: NameServer) -> Iterator[Problem]:
    """Yield what is wrong with a server's key; where: the variable."""
    if len(item.key_name) > 253 or not re.fullmatch(rf"{_LABEL}(\.{_LABEL})*\.?", item.key_name):
        # Without the value: somebody may have exchanged name and secret.
        yield Problem(f"{where}.key_name", None, "must be the name of a key")
    try:
        short = len(base64.b64decode(item.key_secret, validate=True)) < 12
    except (binascii.Error, ValueError):
        short = True
    if short:
        yield Problem(f"{where}.key_secret", None, "must be a key in base64")
