# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of a host: all that root opens, makes, changes and removes there goes through this file, and through no path.

A path is walked folder by folder, on descriptors. A link on the way is followed only where nobody but root can have put
it: root's, in a folder that is root's and that nobody else may write. Everything below a folder that somebody else may
change (a service's own, /tmp) has to be what it is taken for, or is refused with a sentence. Modes do not depend on the
umask. The command postamt-certificates has a copy of this file beside it, so it needs Python's standard library only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import grp
import hashlib
import hmac
import io
import json
import os
import pwd
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, NoReturn

_KEY = os.urandom(16)  # a fingerprint says whether two secrets are equal, and nothing to whoever keeps the log
SUFFIX = ".postamt-new"
# A file that is not secret as a whole may have such settings; what stood there before is in no list of secrets.
_SECRET_LINE = re.compile(r"(?m)^(\s*\w*(?:password|passwd|dnpass|bind_pw|secret|api_key|nonce)\s*=\s*)(\S.*)$")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LINKS = 40  # as many as Linux follows in one path
_MOST = 64 << 20  # bytes of a file that somebody else may have put there: a larger one would take the host's memory
_ROOT = {0, os.geteuid()}  # the latter differs in tests only
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


@dataclasses.dataclass(frozen=True)
class Seen:
    """A regular file as it is: content, permission bits, owner and group by number."""

    content: bytes
    mode: int
    uid: int
    gid: int


# --- the walk


def _private(status: os.stat_result) -> bool:
    """Tell whether nobody but root can change what lies in a folder. An ACL that lets others shows as the group's."""
    return status.st_uid in _ROOT and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _refuse(path: str, found: str, folder: os.stat_result, safe: bool) -> NoReturn:
    who = "" if safe else _name(folder.st_uid) if folder.st_uid not in _ROOT else "others than root"
    where = f", in a folder that {who} may change" if who else ""
    raise Refused(f"{_printable(path)} is {found}{where}: it is not touched; look at it and move it away")


def _printable(path: str) -> str:
    """Return a path for a message: whoever made up the name may mean the terminal on which it is shown."""
    return path if path.isprintable() else repr(path)


def _kind(status: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(status.st_mode), "no file")


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not path.startswith("/") or ".." in parts or "\0" in path:
        raise Refused(f"{path!r} is no absolute path without ..")
    return parts


@dataclasses.dataclass
class _Folder:
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
        return self.fixed and _private(self.state())

    def below(self, descriptor: int) -> _Folder:
        """Return a folder in it. Of a sticky one such as /tmp, what is root's stays where root has put it."""
        around, found = self.state(), os.fstat(descriptor)
        kept = around.st_uid in _ROOT and around.st_mode & stat.S_ISVTX and found.st_uid in _ROOT
        return _Folder(descriptor, self.fixed and (_private(around) or bool(kept)))

    def target(self, name: str, path: str) -> str:
        """Return where a link leads that nobody but root can have made; raises Refused for another one."""
        if not self.safe or self.look(name).st_uid not in _ROOT:
            _refuse(path, "a symbolic link", self.state(), self.safe)
        really = os.readlink(f"/proc/self/fd/{self.descriptor}")
        return os.path.normpath(os.path.join(really, os.readlink(name, dir_fd=self.descriptor)))


def _walk(path: str, made: list[str] | None = None) -> _Folder:
    """Return a folder, which the caller closes; raises OSError, which names what is in the way.

    made: where missing folders are to be made, 0755 and root's, and noted.
    """
    rest, walked, links = _parts(path), "", 0
    here = _Folder(os.open("/", _FOLDER))
    try:
        while rest:
            place = f"{walked}/{rest[0]}"
            descriptor = _step(here, rest[0], place, made)
            if descriptor is None:
                links += 1
                if links > _LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                rest, walked = [*_parts(here.target(rest[0], place)), *rest[1:]], ""
                below = _Folder(os.open("/", _FOLDER))
            else:
                rest, walked = rest[1:], place
                below = here.below(descriptor)
            here.close()
            here = below
    except BaseException:
        here.close()
        raise
    return here


def _step(here: _Folder, name: str, place: str, made: list[str] | None) -> int | None:
    """Return a descriptor of a folder in a folder, None where a link is in its place."""
    try:
        return os.open(name, _FOLDER, dir_fd=here.descriptor)
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
            _refuse(place, _kind(found), here.state(), safe=False)
    raise OSError(code, os.strerror(code), place)


def _mkdir(here: _Folder, name: str, place: str) -> int:
    """Make a folder of root's and return its descriptor."""
    try:
        os.mkdir(name, 0o700, dir_fd=here.descriptor)
        below = os.open(name, _FOLDER, dir_fd=here.descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, place) from None
    if os.fstat(below).st_uid not in _ROOT or os.listdir(below):
        os.close(below)
        _refuse(place, "another folder than the one just made", here.state(), here.safe)
    os.fchmod(below, 0o755)
    return below


@contextlib.contextmanager
def _opened(path: str, made: list[str] | None = None) -> Iterator[_Folder]:
    """Yield a folder."""
    here = _walk(path, made)
    try:
        yield here
    finally:
        here.close()


@contextlib.contextmanager
def _around(path: str) -> Iterator[tuple[_Folder, str]]:
    """Yield the folder that a path lies in, and the name there; errors name the path."""
    folder, name = os.path.split(path.rstrip("/"))
    with _opened(folder) as here:
        try:
            yield here, name
        except Refused:
            raise
        except OSError as error:
            if error.filename in (None, name, beside(name)):
                raise OSError(error.errno, error.strerror, path) from None
            raise


@contextlib.contextmanager
def _beside(path: str) -> Iterator[tuple[int, str]]:
    """Yield a descriptor of the folder that a path lies in, and the name there; errors name the path."""
    with _around(path) as (here, name):
        yield here.descriptor, name


@contextlib.contextmanager
def _followed(path: str) -> Iterator[tuple[_Folder, str, os.stat_result]]:
    """Yield folder, name and state of what a path means, where links that root made are followed to their end."""
    for _link in range(_LINKS):
        with _around(path) as (here, name):
            found = here.look(name)
            if not stat.S_ISLNK(found.st_mode):
                yield here, name, found
                return
            path = here.target(name, path)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _regular(path: str) -> tuple[io.BufferedReader, os.stat_result]:
    """Return a regular file, open to read, and its state. Opening waits for nobody, whatever lies there."""
    with _followed(path) as (here, name, found):
        if not stat.S_ISREG(found.st_mode):
            _refuse(path, _kind(found), here.state(), here.safe)
        descriptor = os.open(name, _FILE, dir_fd=here.descriptor)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                _refuse(path, _kind(found), here.state(), here.safe)
            if found.st_nlink > 1 and not here.safe:
                _refuse(path, "a file with a second name elsewhere (hard link)", here.state(), safe=False)
            if found.st_size > _MOST and not here.safe:
                _refuse(path, f"a file of more than {_MOST >> 20} MB", here.state(), safe=False)
        except BaseException:
            os.close(descriptor)
            raise
        return open(descriptor, "rb"), found


def _content(path: str) -> tuple[bytes, os.stat_result]:
    """Return content and state of a regular file, and nothing of what is written to it meanwhile."""
    file, found = _regular(path)
    with file:
        return file.read(found.st_size or _MOST), found  # what the kernel tells has no size


# --- look


def see(path: str) -> Seen | None:
    """Return a file, or None where there is none; raises OSError, also for what is no regular file."""
    try:
        content, found = _content(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Seen(content, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


def beginning(path: str, most: int) -> bytes:
    """Return the first bytes of a file."""
    with _regular(path)[0] as file:
        return file.read(most)


def text(path: str) -> str:
    """Return the text of a file, empty where there is none or it cannot be read; for what the kernel tells, too."""
    try:
        return _content(path)[0].decode("utf-8", "replace")
    except OSError:
        return ""


def digest(path: str) -> str:
    """Return SHA-256 of a file in hexadecimal, "absent" where there is none; raises Refused."""
    try:
        return hashlib.sha256(_content(path)[0]).hexdigest()
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
            with _followed(path) as (_here, _name, found):
                return found
        with _around(path) as (here, name):
            return here.look(name)
    except (FileNotFoundError, NotADirectoryError):
        return None


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
        with _opened(path) as here:
            return sorted(os.listdir(here.descriptor))
    except (FileNotFoundError, NotADirectoryError):
        return []


def tree(path: str) -> list[tuple[str, os.stat_result]]:
    """Return what lies below a folder and is no folder: relative names, in order, and states; no link is followed."""
    try:
        with _opened(path) as here:
            found = [(place + name, one) for _folder, place, name, one in _below(here.descriptor, path)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted((item for item in found if not stat.S_ISDIR(item[1].st_mode)), key=lambda item: item[0])


def _below(top: int, path: str) -> Iterator[tuple[int, str, str, os.stat_result]]:
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
                    below = os.open(name, _FOLDER, dir_fd=here) if stat.S_ISDIR(found.st_mode) else None
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
                upper = os.open("..", _FOLDER, dir_fd=here)
                os.close(here)
                here = upper
                if not os.path.samestat(os.fstat(here), state):
                    raise Refused(f"{_printable(f'{path}/{way}')} was moved while root was in it: it is not touched")
                way = back
                yield here, way, name, found
    finally:
        os.close(here)


def readlink(path: str) -> str:
    """Return what a link says, empty where there is none."""
    try:
        with _beside(path) as (here, name):
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


# --- show


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


def without_passwords(text: str) -> str:
    """Return somebody else's settings without what looks like a password, by its name or by where it stands."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\1(hidden)", text)
    return text


# --- write


def beside(path: str) -> str:
    """Return where a new file waits for its rename: in the same folder, hidden."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}{SUFFIX}")


def write(path: str, content: bytes, mode: int = 0o600, uid: int = 0, gid: int = 0, age: float = 0) -> None:
    """Write a new file that nobody else can read before it has its owner; it is on the disk when this returns.

    age: seconds by which its modification time is set back. Raises OSError, which names the file, and leaves none.
    """
    with _beside(path) as (here, name):
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
    with _beside(path) as (here, name):
        os.rename(beside(name), name, src_dir_fd=here, dst_dir_fd=here)


def replace(path: str, content: bytes, mode: int = 0o600, uid: int = 0, gid: int = 0, age: float = 0) -> None:
    """Write a file by rename: whoever opens it finds the old or the new one, whole."""
    write(beside(path), content, mode, uid, gid, age)
    put(path)


def set_rights(path: str, mode: int, uid: int, gid: int) -> None:
    """Give a regular file its mode and owner; raises Refused for one with a second name."""
    file, found = _regular(path)
    with file:
        if found.st_nlink > 1:
            raise Refused(f"{path} has a second name elsewhere (hard link): its owner and mode stay")
        os.fchown(file.fileno(), uid, gid)
        os.fchmod(file.fileno(), mode)


def link(target: str, path: str) -> None:
    """Make a symbolic link where there is nothing."""
    with _beside(path) as (here, name):
        os.symlink(target, name, dir_fd=here)


def rename(old: str, new: str) -> None:
    """Give something another name, perhaps in another folder."""
    with _beside(old) as (source, name), _beside(new) as (target, other):
        os.rename(name, other, src_dir_fd=source, dst_dir_fd=target)


def remove(path: str) -> bool:
    """Remove a file, or a link and not what it leads to; tells whether there was one."""
    try:
        with _around(path) as (here, name):
            found = here.look(name)  # a read-only disk refuses to remove what is not there, too
            if stat.S_ISDIR(found.st_mode):
                _refuse(path, _kind(found), here.state(), here.safe)
            os.unlink(name, dir_fd=here.descriptor)
    except FileNotFoundError:
        return False
    return True


def remove_tree(path: str) -> bool:
    """Remove a folder with all that is in it, no link being followed; tells whether there was one."""
    try:
        with _around(path) as (here, name):
            found = here.look(name)
            if not stat.S_ISDIR(found.st_mode):
                _refuse(path, _kind(found), here.state(), here.safe)
            below = os.open(name, _FOLDER, dir_fd=here.descriptor)
            try:
                for folder, way, one, state in _below(below, path):
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
    with _beside(path) as (here, name):
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
        with _opened(folder) as here:
            os.fsync(here.descriptor)


# --- folders


def folder(path: str, uid: int | None = None) -> os.stat_result | None:
    """Return the state of a folder, None where there is none; raises Refused where somebody put something else there.

    uid: whose it shall be. In a folder that somebody else may change, one of a third party's is refused.
    """
    try:
        with _opened(path) as here:
            if uid is not None:
                _check_owner(here, uid, path)
            return here.state()
    except FileNotFoundError:
        return None


def _check_owner(here: _Folder, uid: int, path: str) -> None:
    """Refuse to give away a folder that the owner of the one above may have put there; a killed run's is empty."""
    found = here.state()
    fresh = found.st_uid in _ROOT and not os.listdir(here.descriptor)
    if not here.fixed and found.st_uid != uid and not fresh:
        with _opened(os.path.dirname(path.rstrip("/"))) as above:
            _refuse(path, f"a folder of {_name(found.st_uid)} and not of {_name(uid)}", above.state(), safe=False)


def make_folder(path: str, mode: int | None = None, uid: int = 0, gid: int = 0) -> list[str]:
    """Make a folder with those above it, which are root's and 0755; return the paths of those that were not there.

    mode: what it shall have, with uid and gid, also where it is there already.
    """
    made: list[str] = []
    with _opened(path, made) as here:
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
    with _opened(folder) as here:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return open(os.open(name, flags, 0o600, dir_fd=here.descriptor), "r+", encoding="utf-8")
