# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a diff or a message may show of a file."""

from __future__ import annotations

import hmac
import os
import re

_KEY = os.urandom(16)  # a fingerprint says whether two secrets are equal, and nothing to whoever keeps the log
# A file that is not secret as a whole may have such settings; what stood there before is in no list of secrets.
_SECRET_LINE = re.compile(r"(?m)^(\s*\w*(?:password|passwd|dnpass|bind_pw|secret|api_key|nonce)\s*=\s*)(\S.*)$")
_NAMES = r"(?:pass|secret|nonce|api_?key|_pw\b|pwd|bindpw|rootpw|dsn|credential|token)"
_QUOTED = r"""(?:"[^"\n]*"|'[^'\n]*'|[^\s,;]+)"""
_GAP = r"(?:[ \t]|\n[ \t])"  # a line goes on where the next one begins with a blank
_SECRETS = (
    re.compile(rf"(?im)^([ \t]*[^\s=:]*{_NAMES}[^=:\n]*[=:][ \t]*)\S.*$"),  # name = value, name: value
    re.compile(r"(?im)^([ \t]*\w*(?:pw|pwd|passwd|password|secret|token)[ \t]+)(?![=:{])\S.*$"),  # name value
    re.compile(rf"(?i)({_NAMES}\w*[ \t]*={_GAP}*){_QUOTED}"),  # ... name=value ...
    re.compile(rf"(?i)(-[\w-]*(?:pass|pwd|secret|token|key|auth)[\w-]*(?:=|{_GAP}){_GAP}*){_QUOTED}"),  # --name value
    re.compile(rf"(?<=\s)(-[pw]{_GAP}+){_QUOTED}"),
    re.compile(rf"(\b(?:mysql|mariadb)\w*\b.*\s-p){_QUOTED}"),
    re.compile(r"(?i)(\b(?:basic|bearer)[ \t]+)[\w+/=.~-]{8,}"),  # of an Authorization header
    re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s@]+(?=@)"),  # scheme://user:password@host
    re.compile(r"(\bstatic:)(?:\{[^}]*\}|\S+)"),
    re.compile(r"(\binline:\s*)\{(?:[^{}]|\{[^{}]*\})*\}"),
)


def fingerprint(content: bytes) -> str:
    """Return a line that stands for secret content: equal content has equal lines within one run."""
    return f"(secret, fingerprint {hmac.new(_KEY, content, 'sha256').hexdigest()[:12]})\n"


def shown(content: bytes | None, secret: bool) -> str:
    """Return content as a diff may show it."""
    if content is None:
        return ""
    if secret:
        return fingerprint(content)
    return _SECRET_LINE.sub(
        lambda found: found[1] + fingerprint(found[2].encode()).rstrip(), content.decode("utf-8", "replace")
    )


def without_passwords(text: str) -> str:
    """Return somebody else's settings without what looks like a password, by its name or by where it stands."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\1(hidden)", text)
    return text
