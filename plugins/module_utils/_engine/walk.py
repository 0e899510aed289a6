# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way to a path, folder by folder, on descriptors; files.py does everything else on it.

A link on the way is followed only where nobody but root can have put it: root's, in a folder that is root's and that
nobody else may write. Everything below a folder that somebody else may change (a service's own, /tmp) has to be what it
is taken for, or is refused with a sentence. A host has this file as /usr/local/lib/postamt/walk.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import os
import pwd
import stat
from collections.abc import Iterator
from typing import NoReturn

SUFFIX = ".postamt-new"
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LINKS = 40  # as many as Linux follows in one path
_MOST = 64 << 20  # bytes of a file that somebody else may have put there: a larger one would take the host's memory
ROOT = {0, os.geteuid()}  # the latter differs in tests only
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
}


class Refused(OSError):
    """What lies at a path is not to be touched by root; the text names the path and says what was found."""


def private(status: os.stat_result) -> bool:
    """Tell whether nobody but root can change what lies in a folder. An ACL that lets others shows as the group's."""
    return status.st_uid in ROOT and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def refuse(path: str, found: str, folder: os.stat_result, safe: bool) -> NoReturn:
    who = "" if safe else name_of(folder.st_uid) if folder.st_uid not in ROOT else "others than root"
    where = f", in a folder that {who} may change" if who else ""
    raise Refused(f"{_printable(path)} is {found}{where}: it is not touched; look at it and move it away")


def _printable(path: str) -> str:
    """Return a path for a message: whoever made up the name may mean the terminal on which it is shown."""
    return path if path.isprintable() else repr(path)


def kind(status: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(status.st_mode), "no file")


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not path.startswith("/") or ".." in parts or "\0" in path:
        raise Refused(f"{path!r} is no absolute path without ..")
    return parts


@dataclasses.dataclass
class Folder:
    """An open folder. fixed: nobody but root can put another one in its place, or in that of one above."""

    descriptor: int
    fixed: bool = True

    def close(self) -> None:
        os.close(self.descriptor)

    def state(self) -> os.stat_result:
        return os.fstat(self.descriptor)

    def look(self, name: str) -> os.stat_result:
        return os.stat(name or ".", dir_fd=self.descriptor, follow_symlinks=False)

    @property
    def safe(self) -> bool:
        """Whether nobody but root can change what lies in it."""
        return self.fixed and private(self.state())

    def below(self, descriptor: int) -> Folder:
        """Return a folder in it. Of a sticky one such as /tmp, what is root's stays where root has put it."""
        around, found = self.state(), os.fstat(descriptor)
        kept = around.st_uid in ROOT and around.st_mode & stat.S_ISVTX and found.st_uid in ROOT
        return Folder(descriptor, self.fixed and (private(around) or bool(kept)))

    def target(self, name: str, path: str) -> str:
        """Return where a link leads that nobody but root can have made; raises Refused for another one."""
        if not self.safe or self.look(name).st_uid not in ROOT:
            refuse(path, "a symbolic link", self.state(), self.safe)
        really = os.readlink(f"/proc/self/fd/{self.descriptor}")
        return os.path.normpath(os.path.join(really, os.readlink(name, dir_fd=self.descriptor)))


def _walk(path: str, made: list[str] | None = None) -> Folder:
    """Return a folder, which the caller closes; raises OSError, which names what is in the way.

    made: where missing folders are to be made, 0755 and root's, and noted.
    """
    rest, walked, links = _parts(path), "", 0
    here = Folder(os.open("/", FOLDER))
    try:
        while rest:
            place = f"{walked}/{rest[0]}"
            descriptor = _step(here, rest[0], place, made)
            if descriptor is None:
                links += 1
                if links > _LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                rest, walked = [*_parts(here.target(rest[0], place)), *rest[1:]], ""
                below = Folder(os.open("/", FOLDER))
            else:
                rest, walked = rest[1:], place
                below = here.below(descriptor)
            here.close()
            here = below
    except BaseException:
        here.close()
        raise
    return here


def _step(here: Folder, name: str, place: str, made: list[str] | None) -> int | None:
    """Return a descriptor of a folder in a folder, None where a link is in its place."""
    try:
        return os.open(name, FOLDER, dir_fd=here.descriptor)
    except OSError as error:
        code = error.errno or 0
    if code == errno.ENOENT and made is not None:
        made.append(place)
        return _mkdir(here, name, place)
    if code in (errno.ENOTDIR, errno.ELOOP):
        found = here.look(name)
        if stat.S_ISLNK(found.st_mode):
            return None
        if not here.safe:
            refuse(place, kind(found), here.state(), safe=False)
    raise OSError(code, os.strerror(code), place)


def _mkdir(here: Folder, name: str, place: str) -> int:
    """Make a folder of root's and return its descriptor."""
    try:
        os.mkdir(name, 0o700, dir_fd=here.descriptor)
        below = os.open(name, FOLDER, dir_fd=here.descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, place) from None
    if os.fstat(below).st_uid not in ROOT or os.listdir(below):
        os.close(below)
        refuse(place, "another folder than the one just made", here.state(), here.safe)
    os.fchmod(below, 0o755)
    return below


@contextlib.contextmanager
def opened(path: str, made: list[str] | None = None) -> Iterator[Folder]:
    """Yield a folder."""
    here = _walk(path, made)
    try:
        yield here
    finally:
        here.close()


@contextlib.contextmanager
def around(path: str) -> Iterator[tuple[Folder, str]]:
    """Yield the folder that a path lies in, and the name there; errors name the path."""
    folder, name = os.path.split(path.rstrip("/"))
    with opened(folder) as here:
        try:
            yield here, name
        except Refused:
            raise
        except OSError as error:
            if error.filename in (None, name, beside(name)):
                raise OSError(error.errno, error.strerror, path) from None
            raise


@contextlib.contextmanager
def folder_of(path: str) -> Iterator[tuple[int, str]]:
    """Yield a descriptor of the folder that a path lies in, and the name there; errors name the path."""
    with around(path) as (here, name):
        yield here.descriptor, name


@contextlib.contextmanager
def followed(path: str) -> Iterator[tuple[Folder, str, os.stat_result]]:
    """Yield folder, name and state of what a path means, where links that root made are followed to their end."""
    for _link in range(_LINKS):
        with around(path) as (here, name):
            found = here.look(name)
            if not stat.S_ISLNK(found.st_mode):
                yield here, name, found
                return
            path = here.target(name, path)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def regular(path: str) -> tuple[io.BufferedReader, os.stat_result]:
    """Return a regular file, open to read, and its state. Opening waits for nobody, whatever lies there."""
    with followed(path) as (here, name, found):
        if not stat.S_ISREG(found.st_mode):
            refuse(path, kind(found), here.state(), here.safe)
        descriptor = os.open(name, _FILE, dir_fd=here.descriptor)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                refuse(path, kind(found), here.state(), here.safe)
            if found.st_nlink > 1 and not here.safe:
                refuse(path, "a file with a second name elsewhere (hard link)", here.state(), safe=False)
            if found.st_size > _MOST and not here.safe:
                refuse(path, f"a file of more than {_MOST >> 20} MB", here.state(), safe=False)
        except BaseException:
            os.close(descriptor)
            raise
        return open(descriptor, "rb"), found


def content(path: str) -> tuple[bytes, os.stat_result]:
    """Return content and state of a regular file, and nothing of what is written to it meanwhile."""
    file, found = regular(path)
    with file:
        return file.read(found.st_size or _MOST), found  # what the kernel tells has no size


def below(top: int, path: str) -> Iterator[tuple[int, str, str, os.stat_result]]:
    """Yield what lies below a folder, folders after what is in them: their folder, the way there, name and state.

    One descriptor is open, however deep somebody has built. On the way back up, `..` has to be where it came from.
    """
    here, way, rest = os.dup(top), "", os.listdir(top)
    above: list[tuple[os.stat_result, str, list[str], str, os.stat_result]] = []
    try:
        while rest or above:
            if rest:
                name = rest.pop()
                try:
                    found = os.stat(name, dir_fd=here, follow_symlinks=False)
                    below = os.open(name, FOLDER, dir_fd=here) if stat.S_ISDIR(found.st_mode) else None
                except (FileNotFoundError, NotADirectoryError):
                    continue  # it went away, or became something else, while somebody looked
                if below is None:
                    yield here, way, name, found
                    continue
                above.append((os.fstat(here), way, rest, name, found))
                os.close(here)
                here, way = below, f"{way}{name}/"
                rest = os.listdir(here)
            else:
                state, back, rest, name, found = above.pop()
                upper = os.open("..", FOLDER, dir_fd=here)
                os.close(here)
                here = upper
                if not os.path.samestat(os.fstat(here), state):
                    raise Refused(f"{_printable(f'{path}/{way}')} was moved while root was in it: it is not touched")
                way = back
                yield here, way, name, found
    finally:
        os.close(here)


def beside(path: str) -> str:
    """Return where a new file waits for its rename: in the same folder, hidden."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}{SUFFIX}")
