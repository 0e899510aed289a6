# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of a host: look at them, put new ones beside them, swap by rename, bring old ones back."""

from __future__ import annotations

import contextlib
import dataclasses
import grp
import hashlib
import hmac
import json
import os
import pwd
import re
import shutil
import stat
from collections.abc import Iterable
from typing import Any

_KEY = os.urandom(16)  # a fingerprint says whether two secrets are equal, and nothing to whoever keeps the log
SUFFIX = ".postamt-new"
# A file that is not secret as a whole may have such settings; what stood there before is in no list of secrets.
_SECRET_LINE = re.compile(r"(?m)^(\s*\w*(?:password|passwd|dnpass|bind_pw|secret|api_key|nonce)\s*=\s*)(\S.*)$")


@dataclasses.dataclass(frozen=True)
class Seen:
    """A regular file as it is: content, permission bits, owner and group by number."""

    content: bytes
    mode: int
    uid: int
    gid: int


def see(path: str) -> Seen | None:
    """Return a file, or None where there is none; raises OSError, also for what is no regular file."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            return Seen(file.read(), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    except FileNotFoundError:
        return None


def uid_of(name: str) -> int | None:
    """Return a user's number, None for a user that does not exist (yet)."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def gid_of(name: str) -> int | None:
    """Return a group's number, None for a group that does not exist (yet)."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def digest(path: str) -> str:
    """Return SHA-256 of a file in hexadecimal, "absent" where there is none."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "absent"


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


_NAMES = r"(?:pass|secret|nonce|api_?key|_pw\b|pwd|bindpw|rootpw|dsn|credential|token)"
_QUOTED = r"""(?:"[^"\n]*"|'[^'\n]*'|[^\s,;]+)"""
_SECRETS = (
    re.compile(rf"(?im)^([ \t]*[^\s=:]*{_NAMES}[^=:\n]*[=:][ \t]*)\S.*$"),  # name = value, name: value
    re.compile(r"(?im)^([ \t]*\w*(?:pw|pwd|passwd|password|secret|token)[ \t]+)(?![=:{])\S.*$"),  # name value
    re.compile(rf"(?i)({_NAMES}\w*\s*=\s*){_QUOTED}"),  # ... name=value ...
    re.compile(rf"(?i)(-[\w-]*(?:pass|pwd|secret|token|key|auth)[\w-]*[=\s]\s*){_QUOTED}"),  # --name value
    re.compile(rf"(?<=\s)(-[pw]\s+){_QUOTED}"),
    re.compile(rf"(\b(?:mysql|mariadb)\w*\b.*\s-p){_QUOTED}"),
    re.compile(r"(?i)(\b(?:basic|bearer)[ \t]+)[\w+/=.~-]{8,}"),  # of an Authorization header
    re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s@]+(?=@)"),  # scheme://user:password@host
    re.compile(r"(\bstatic:)(?:\{[^}]*\}|\S+)"),
    re.compile(r"(\binline:\s*)\{(?:[^{}]|\{[^{}]*\})*\}"),
)


def without_passwords(text: str) -> str:
    """Return somebody else's settings without what looks like a password, by its name or by where it stands."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\1(hidden)", text)
    return text


def beside(path: str) -> str:
    """Return where a new file waits for its rename: in the same folder, hidden."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}{SUFFIX}")


def write(path: str, content: bytes, mode: int = 0o600, uid: int = 0, gid: int = 0, age: float = 0) -> None:
    """Write a new file that nobody else can read before it has its owner; it is on the disk when this returns.

    age: seconds by which its modification time is set back. Raises OSError, which names the file, and leaves none.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
            if age:
                now = os.fstat(descriptor).st_mtime
                os.utime(descriptor, (now - age, now - age))
            os.fsync(descriptor)
    except OSError as error:  # a full disk says nothing of where
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise OSError(error.errno, error.strerror, path) from None


def replace(path: str, content: bytes, mode: int = 0o600, uid: int = 0, gid: int = 0, age: float = 0) -> None:
    """Write a file by rename: whoever opens it finds the old or the new one, whole."""
    write(beside(path), content, mode, uid, gid, age)
    os.replace(beside(path), path)


def remove(path: str) -> bool:
    """Remove a file; tells whether there was one."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def settle(paths: Iterable[str]) -> None:
    """Have the renames in the folders of these paths on the disk."""
    for folder in {os.path.dirname(path) for path in paths}:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def private_folder(path: str, empty: bool = False) -> str:
    """Make a folder that is root's alone; `empty` clears what a killed run left."""
    if empty:
        shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path, mode=0o700, exist_ok=True)
    os.chmod(path, 0o700)
    return path


def load(path: str) -> dict[str, Any]:
    """Return a record of ours (JSON), empty where there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
            return found
    except FileNotFoundError:
        return {}


def save(path: str, record: dict[str, Any]) -> None:
    """Keep a record of ours."""
    replace(path, json.dumps(record, indent=1, sort_keys=True).encode())
    settle([path])
