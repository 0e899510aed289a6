"""Who has signed a message (DKIM), as another server finds out: with the records of the site's keys."""

from __future__ import annotations

import json

import dkim
from ansible_collections.postamt.mail.plugins.plugin_utils._model.dkim_keys import from_plain
from ansible_collections.postamt.mail.tests.lib.site import Site

BOTH = {"rsa-sha256", "ed25519-sha256"}


def records(site: Site) -> dict[str, str]:
    """The texts of the records that the site publishes, by name."""
    kept = json.loads((site.state_dir / "dkim.json").read_text(encoding="utf-8"))
    return {name: text for domain, keys in kept.items() for name, text in from_plain(keys).records(domain)}


def signatures(content: bytes) -> list[tuple[str, str]]:
    """Domain and algorithm of each signature that a message has, right or wrong."""
    message = dkim.DKIM(content)
    fields = [value for name, value in message.headers if name.lower() == b"dkim-signature"]
    tags = [dkim.util.parse_tag_value(field) for field in fields]
    return [(one[b"d"].decode(), one[b"a"].decode()) for one in tags]


def signed_for(site: Site, content: bytes) -> dict[str, set[str]]:
    """The algorithms of the right signatures that a message has, by domain."""
    known = {f"{name}.": text.encode() for name, text in records(site).items()}
    found: dict[str, set[str]] = {}
    for index, (domain, algorithm) in enumerate(signatures(content)):
        if dkim.DKIM(content).verify(index, dnsfunc=lambda name, **_more: known.get(name.decode(), b"")):
            found.setdefault(domain, set()).add(algorithm)
    return found
