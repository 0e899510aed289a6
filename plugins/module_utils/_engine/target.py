# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A file that shall be on a host, beside what is in its place, and how both are shown."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, secrecy


@dataclasses.dataclass(frozen=True)
class Product:
    """What is built from a file, a table or compiled script. recorded: the digest that it had when it was built."""

    path: str
    recorded: str = ""

    def right(self, mode: int, uid: int | None, gid: int | None) -> bool:
        """Tell whether it is there as it was built, for those who may read it."""
        status = files.status(self.path)
        if status is None or files.rights(status) != (mode, uid, gid):
            return False
        return files.digest(self.path) == self.recorded


@dataclasses.dataclass(frozen=True)
class Target:
    """A file that shall be there.

    build: how a product is built from it, empty where none is. foreign: what stands there is neither the package's nor
    this collection's.
    """

    path: str
    content: bytes
    mode: int
    owner: str
    group: str
    secret: bool = False
    build: str = ""
    product: Product | None = None
    seen: files.Seen | None = None
    foreign: bool = False

    @property
    def right(self) -> bool:
        """Whether the host has it already."""
        return self.written and self.built

    @property
    def written(self) -> bool:
        """Whether the file itself is right."""
        expected = (self.mode, files.uid_of(self.owner), files.gid_of(self.group))
        seen = self.seen
        return seen is not None and seen.content == self.content and (seen.mode, seen.uid, seen.gid) == expected

    @property
    def built(self) -> bool:
        """Whether its product is right, if it has one."""
        product = self.product
        return not product or product.right(self.mode, files.uid_of(self.owner), files.gid_of(self.group))

    @property
    def digest(self) -> str:
        """SHA-256 of what shall be there."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def text_before(self) -> str | None:
        """What stands there, None for no file."""
        return self.seen.content.decode("utf-8", "replace") if self.seen else None

    def paths(self) -> list[str]:
        """Return the paths that are written, what is built before its source."""
        return [self.product.path, self.path] if self.product else [self.path]

    def shown(self) -> tuple[str, str]:
        """Return what stood there and what shall, as a diff may show it."""
        seen = self.seen
        before = secrecy.shown(seen.content if seen else None, self.secret)
        if self.foreign:
            before = secrecy.without_passwords(before)
        after = secrecy.shown(self.content, self.secret)
        if seen and before == after and self.product and self.written:
            before += f"({self.product.path} is not as it was built)\n"
            after += f"({self.product.path} is built from it)\n"
        elif seen and before == after:
            before += f"(owner {seen.uid}:{seen.gid}, mode {seen.mode:04o})\n"
            after += f"(owner {self.owner}:{self.group}, mode {self.mode:04o})\n"
        return before, after

    def difference(self) -> dict[str, str]:
        """Return an entry of Ansible's diff."""
        before, after = self.shown()
        return {"before_header": self.path, "after_header": self.path, "before": before, "after": after}

    def unified(self) -> str:
        """Return the difference as text, for a message."""
        before, after = map(settings, self.shown())
        return unified(self.path, before, "wanted", after)


def unified(before_name: str, before: str, after_name: str, after: str) -> str:
    """Return a difference as text, for a message."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), before_name, after_name, lineterm="")
    return "".join(f"{line.rstrip()}\n" for line in lines)


def superseded_text(path: str) -> str:
    """Return what a file says that is not going to count any more, for a message."""
    seen = files.see(path)
    said = settings(seen.content.decode("utf-8", "replace")) if seen else ""
    return unified(path, secrecy.without_passwords(said), "no longer in force", "")


def settings(text: str) -> str:
    """Return a configuration without comments and empty lines."""
    return "".join(f"{line}\n" for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
