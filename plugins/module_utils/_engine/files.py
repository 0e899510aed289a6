# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of a host: all that root opens, makes, changes and removes there goes through this file, and through no path.

A path is walked folder by folder (walk.py), and each change is made on a descriptor. Modes do not depend on the umask.
A host has this file as /usr/local/lib/postamt/files.py, so it needs walk.py and Python's standard library only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import grp
import hashlib
import json
import os
import pwd
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import walk

_RESOLVING = re.compile(r"(nameserver|search|domain|options|sortlist)[ \t]")
Refused = walk.Refused
SUFFIX = walk.SUFFIX
beside = walk.beside  # where a new file waits for its rename


@dataclasses.dataclass(frozen=True)
class Seen:
    """A regular file as it is: content, permission bits, owner and group by number."""

    content: bytes
    mode: int
    uid: int
    gid: int


# --- look


def see(path: str) -> Seen | None:
    """Return a file, or None where there is none; raises OSError, also for what is no regular file."""
    try:
        content, found = walk.content(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Seen(content, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


def beginning(path: str, most: int) -> bytes:
    """Return the first bytes of a file."""
    with walk.regular(path)[0] as file:
        return file.read(most)


def text(path: str) -> str:
    """Return the text of a file, empty where there is none or it cannot be read; for what the kernel tells, too."""
    try:
        return walk.content(path)[0].decode("utf-8", "replace")
    except OSError:
        return ""


def resolv_conf(path: str) -> list[str]:
    """Return the lines of a resolv.conf (resolv.conf(5)); none where there is none.

    Services write it, and links lead to it, also from what a process sees (/proc/NUMBER/root). So whatever else lies
    there is not handed out.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return []
            text = file.read(1 << 16).decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if _RESOLVING.match(line)]


def digest(path: str) -> str:
    """Return SHA-256 of a file in hexadecimal, "absent" where there is none; raises Refused."""
    try:
        return hashlib.sha256(walk.content(path)[0]).hexdigest()
    except Refused:
        raise
    except OSError:
        return "absent"


def status(path: str, follow: bool = False) -> os.stat_result | None:
    """Return the state of what lies at a path, None where nothing does.

    follow: whether a link in the last place is followed, if it is one that root made; those before it are.
    """
    try:
        if follow:
            with walk.followed(path) as (_here, _name, found):
                return found
        with walk.around(path) as (here, name):
            return here.look(name)
    except (FileNotFoundError, NotADirectoryError):
        return None


def rights(found: os.stat_result) -> tuple[int, int, int]:
    """Return permission bits, owner and group."""
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def mode(path: str) -> int:
    """Return kind and mode (st_mode) of what a path leads to, 0 where that is nothing."""
    found = status(path, follow=True)
    return found.st_mode if found else 0


def exists(path: str) -> bool:
    """Tell whether a path leads to something."""
    return status(path, follow=True) is not None


def names(path: str) -> list[str]:
    """Return the names in a folder, sorted; none where there is no folder."""
    try:
        with walk.opened(path) as here:
            return sorted(os.listdir(here.descriptor))
    except (FileNotFoundError, NotADirectoryError):
        return []


def tree(path: str) -> list[tuple[str, os.stat_result]]:
    """Return what lies below a folder and is no folder: relative names, in order, and states; no link is followed."""
    try:
        with walk.opened(path) as here:
            found = [(place + name, one) for _folder, place, name, one in walk.below(here.descriptor, path)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted((item for item in found if not stat.S_ISDIR(item[1].st_mode)), key=lambda item: item[0])


def readlink(path: str) -> str:
    """Return what a link says, empty where there is none."""
    try:
        with walk.folder_of(path) as (here, name):
            return os.readlink(name, dir_fd=here)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL):
            return ""
        raise


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


# --- write


def write(path: str, content: bytes, mode: int = 0o600, uid: int = 0, gid: int = 0, age: float = 0) -> None:
    """Write a new file that nobody else can read before it has its owner; it is on the disk when this returns.

    age: seconds by which its modification time is set back. Raises OSError, which names the file, and leaves none.
    """
    with walk.folder_of(path) as (here, name):
        _write(here, name, content, mode, uid, gid, age)


def _write(here: int, name: str, content: bytes, mode: int, uid: int, gid: int, age: float) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, 0o600, dir_fd=here)
    except FileExistsError:
        os.unlink(name, dir_fd=here)
        descriptor = os.open(name, flags, 0o600, dir_fd=here)
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
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=here)
        raise


def copy(source: str, path: str, mode: int | None = None) -> None:
    """Write a file with the content of another one, its owner and, unless it is given, its mode; none where none is."""
    seen = see(source)
    if seen is not None:
        write(path, seen.content, seen.mode if mode is None else mode, seen.uid, seen.gid)


def put(path: str) -> None:
    """Have the file that waits beside a path take its place."""
    with walk.folder_of(path) as (here, name):
        os.rename(beside(name), name, src_dir_fd=here, dst_dir_fd=here)


def replace(path: str, content: bytes, mode: int = 0o600, uid: int = 0, gid: int = 0, age: float = 0) -> None:
    """Write a file by rename: whoever opens it finds the old or the new one, whole."""
    write(beside(path), content, mode, uid, gid, age)
    put(path)


def set_rights(path: str, mode: int, uid: int, gid: int) -> None:
    """Give a regular file its mode and owner; raises Refused for one with a second name."""
    file, found = walk.regular(path)
    with file:
        if found.st_nlink > 1:
            raise Refused(f"{path} has a second name elsewhere (hard link): its owner and mode stay")
        os.fchown(file.fileno(), uid, gid)
        os.fchmod(file.fileno(), mode)


def link(target: str, path: str) -> None:
    """Make a symbolic link where there is nothing."""
    with walk.folder_of(path) as (here, name):
        os.symlink(target, name, dir_fd=here)


def rename(old: str, new: str) -> None:
    """Give something another name, perhaps in another folder."""
    with walk.folder_of(old) as (source, name), walk.folder_of(new) as (target, other):
        os.rename(name, other, src_dir_fd=source, dst_dir_fd=target)


def remove(path: str) -> bool:
    """Remove a file, or a link and not what it leads to; tells whether there was one."""
    try:
        with walk.around(path) as (here, name):
            found = here.look(name)  # a read-only disk refuses to remove what is not there, too
            if stat.S_ISDIR(found.st_mode):
                walk.refuse(path, walk.kind(found), here.state(), here.safe)
            os.unlink(name, dir_fd=here.descriptor)
    except FileNotFoundError:
        return False
    return True


def remove_tree(path: str) -> bool:
    """Remove a folder with all that is in it, no link being followed; tells whether there was one."""
    try:
        with walk.around(path) as (here, name):
            found = here.look(name)
            if not stat.S_ISDIR(found.st_mode):
                walk.refuse(path, walk.kind(found), here.state(), here.safe)
            below = os.open(name, walk.FOLDER, dir_fd=here.descriptor)
            try:
                for folder, way, one, state in walk.below(below, path):
                    _unlink(folder, one, stat.S_ISDIR(state.st_mode), f"{path}/{way}{one}")
            finally:
                os.close(below)
            _unlink(here.descriptor, name, True, path)
    except FileNotFoundError:
        return False
    return True


def _unlink(here: int, name: str, folder: bool, path: str) -> None:
    """Remove what is in a folder; that somebody else has removed it meanwhile is no error."""
    try:
        (os.rmdir if folder else os.unlink)(name, dir_fd=here)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def remove_folder(path: str) -> None:
    """Remove an empty folder."""
    with walk.folder_of(path) as (here, name):
        os.rmdir(name, dir_fd=here)


def remove_empty(path: str) -> None:
    """Remove the folders from here on down that hold nothing."""
    for name in names(path):
        below = status(f"{path}/{name}")
        if below is not None and stat.S_ISDIR(below.st_mode):
            remove_empty(f"{path}/{name}")
    if folder(path) is not None and not names(path):
        remove_folder(path)


def settle(paths: Iterable[str]) -> None:
    """Have the renames in the folders of these paths on the disk."""
    for folder in {os.path.dirname(path) for path in paths}:
        with walk.opened(folder) as here:
            os.fsync(here.descriptor)


# --- folders


def folder(path: str, uid: int | None = None) -> os.stat_result | None:
    """Return the state of a folder, None where there is none; raises Refused where somebody put something else there.

    uid: whose it shall be. In a folder that somebody else may change, one of a third party's is refused.
    """
    try:
        with walk.opened(path) as here:
            if uid is not None:
                _check_owner(here, uid, path)
            return here.state()
    except FileNotFoundError:
        return None


def _check_owner(here: walk.Folder, uid: int, path: str) -> None:
    """Refuse to give away a folder that the owner of the one above may have put there; a killed run's is empty."""
    found = here.state()
    fresh = found.st_uid in walk.ROOT and not os.listdir(here.descriptor)
    if not here.fixed and found.st_uid != uid and not fresh:
        with walk.opened(os.path.dirname(path.rstrip("/"))) as above:
            walk.refuse(
                path,
                f"a folder of {walk.name_of(found.st_uid)} and not of {walk.name_of(uid)}",
                above.state(),
                safe=False,
            )


def make_folder(path: str, mode: int | None = None, uid: int = 0, gid: int = 0) -> list[str]:
    """Make a folder with those above it, which are root's and 0755; return the paths of those that were not there.

    mode: what it shall have, with uid and gid, also where it is there already.
    """
    made: list[str] = []
    with walk.opened(path, made) as here:
        if mode is not None:
            _check_owner(here, uid, path)
            os.fchown(here.descriptor, uid, gid)
            os.fchmod(here.descriptor, mode)
    return made


def private_folder(path: str, empty: bool = False) -> str:
    """Make a folder that is root's alone; `empty` clears what a killed run left."""
    if empty:
        remove_tree(path)
    make_folder(path, 0o700, os.geteuid(), os.getegid())
    return path


@contextlib.contextmanager
def temporary(prefix: str, folder: str = "/run", mode: int = 0o755) -> Iterator[str]:
    """Yield a new folder, which everybody may read unless mode says otherwise, and remove it afterwards."""
    path = tempfile.mkdtemp(prefix=prefix, dir=folder)
    try:
        make_folder(path, mode, os.geteuid(), os.getegid())
        yield path
    finally:
        remove_tree(path)


# --- records


def load(path: str) -> dict[str, Any]:
    """Return a record of ours (JSON), empty where there is none; raises OSError, also for one that is damaged."""
    seen = see(path)
    try:
        found: dict[str, Any] = json.loads(seen.content) if seen else {}
        if not isinstance(found, dict):
            raise ValueError("it is no mapping")
    except ValueError as error:
        raise OSError(f"{path} is damaged ({error}): bring it back from a backup, or move it away") from None
    return found


def save(path: str, record: dict[str, Any]) -> None:
    """Keep a record of ours."""
    replace(path, json.dumps(record, indent=1, sort_keys=True).encode(), uid=os.geteuid(), gid=os.getegid())
    settle([path])


def open_lock(path: str) -> IO[str]:
    """Return a file to be locked, made where there is none; it holds who has the lock."""
    folder, name = os.path.split(path)
    private_folder(folder)
    with walk.opened(folder) as here:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return open(os.open(name, flags, 0o600, dir_fd=here.descriptor), "r+", encoding="utf-8")
