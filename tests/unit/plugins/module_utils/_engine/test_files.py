# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writing and replacing files, also where somebody else may change a folder on the way."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, walk

ME = {"uid": os.getuid(), "gid": os.getgid()}


def test_replace_sets_everything_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "main.cf"
    path.write_text("old")
    files.replace(str(path), b"new", 0o640, **ME, age=5)
    seen = files.see(str(path))
    assert seen == files.Seen(b"new", 0o640, ME["uid"], ME["gid"])
    assert 4 < time.time() - path.stat().st_mtime < 30
    assert os.listdir(tmp_path) == ["main.cf"]


def test_what_a_killed_run_left_beside_is_not_in_the_way(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    Path(files.beside(path)).write_text("half")
    files.write(files.beside(path), b"whole", **ME)
    assert Path(files.beside(path)).read_bytes() == b"whole"


def test_absent_files() -> None:
    assert files.see("/nonexistent/file") is None
    assert files.digest("/nonexistent/file") == "absent"
    assert files.load("/nonexistent/file") == {}
    assert not files.remove("/nonexistent/file")


# --- what others may change

CANARY = b"canary"
OTHERS = 0o777  # a folder that a service may change looks like this one, whoever runs the tests
ACTIONS: dict[str, Callable[[str], object]] = {
    "see": files.see,
    "digest": files.digest,
    "status": files.status,
    "names": files.names,
    "tree": files.tree,
    "folder": files.folder,
    "load": files.load,
    "write": lambda path: files.write(path, b"new", **ME),
    "replace": lambda path: files.replace(path, b"new", **ME),
    "set_rights": lambda path: files.set_rights(path, 0o666, **ME),
    "remove": files.remove,
    "remove_tree": files.remove_tree,
    "remove_folder": files.remove_folder,
    "make_folder": lambda path: files.make_folder(path, 0o777, **ME),
    "link": lambda path: files.link("/nonexistent", path),
    "rename": lambda path: files.rename(path, f"{path}.moved"),
    "put": files.put,
    "settle": lambda path: files.settle([path]),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What nobody but root may read or change: a folder with a file and another folder."""
    (tmp_path / "root" / "below").mkdir(parents=True, mode=0o755)
    (tmp_path / "root" / "file").write_bytes(CANARY)
    (tmp_path / "root" / "below" / "file").write_bytes(CANARY)
    return tmp_path / "root"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder that others may change."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs").chmod(OTHERS)
    return tmp_path / "theirs"


def state(folder: Path) -> list[tuple[str, int, int, int, float, int]]:
    found = [(path, path.lstat()) for path in sorted([folder, *folder.rglob("*")])]
    return [(str(path), one.st_mode, one.st_uid, one.st_gid, one.st_mtime, one.st_nlink) for path, one in found]


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("name", ACTIONS)
def test_a_link_of_others_is_not_followed_at_any_depth(root: Path, theirs: Path, name: str, depth: int) -> None:
    parts = ["a", "b", "below", "file"]
    place = theirs.joinpath(*parts[:depth])
    place.mkdir(parents=True, exist_ok=True)
    (place / parts[depth]).symlink_to(root)
    before = state(root)
    path = str(theirs.joinpath(*parts[: depth + 1], "below" if name in ("names", "tree", "folder") else "file"))
    with pytest.raises(files.Refused, match=f"{place / parts[depth]} is a symbolic link, in a folder that"):
        ACTIONS[name](path)
    assert state(root) == before


@pytest.mark.parametrize("name", ["see", "digest", "load", "set_rights"])
def test_a_link_in_the_last_place_is_not_followed(root: Path, theirs: Path, name: str) -> None:
    (theirs / "file").symlink_to(root / "file")
    with pytest.raises(files.Refused, match="is a symbolic link"):
        ACTIONS[name](str(theirs / "file"))
    assert files.text(str(theirs / "file")) == ""


def test_what_acts_on_a_name_acts_on_the_link_itself(root: Path, theirs: Path) -> None:
    before = state(root)
    for name in ("file", "below"):
        (theirs / name).symlink_to(root / name)
    files.replace(str(theirs / "file"), b"new", **ME)
    assert (theirs / "file").read_bytes() == b"new"
    with pytest.raises(files.Refused):
        files.remove_tree(str(theirs / "below"))
    with pytest.raises(OSError):
        files.remove_folder(str(theirs / "below"))
    assert files.remove(str(theirs / "below"))
    (theirs / "inside").mkdir()
    (theirs / "inside" / "out").symlink_to(root)
    (theirs / "inside" / "file").symlink_to(root / "file")
    assert [name for name, _status in files.tree(str(theirs))] == ["file", "inside/file", "inside/out"]
    assert files.remove_tree(str(theirs / "inside"))
    assert state(root) == before


def test_a_link_of_root_leads_on(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mail").symlink_to("root/../root")
    (tmp_path / "root" / "again").symlink_to("below/../below")
    (tmp_path / "root" / "below" / "up").symlink_to("../file")
    seen = files.see(str(tmp_path / "mail" / "again" / "up"))
    assert seen and seen.content == CANARY
    assert files.folder(str(tmp_path / "mail"))
    assert files.make_folder(str(tmp_path / "mail" / "new"), 0o750, **ME) == [str(root / "new")]
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(OSError, match="Too many levels"):
        files.names(str(tmp_path / "round"))
    assert files.status("/nonexistent/file") is None and not files.exists("/nonexistent")


def test_a_sticky_folder_is_one_that_others_may_change(root: Path, theirs: Path) -> None:
    theirs.chmod(0o1777)
    (theirs / "link").symlink_to(root)
    with pytest.raises(files.Refused):
        files.see(str(theirs / "link" / "file"))


def test_what_is_no_file_is_named_and_never_waited_for(theirs: Path, tmp_path: Path) -> None:
    os.mkfifo(theirs / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(theirs / "socket"))
    for name, kind in (("fifo", "a FIFO"), ("socket", "a socket")):
        for action in ("see", "digest", "load", "set_rights"):
            with pytest.raises(
                files.Refused, match=f"{theirs / name} is {kind}, in a folder that others than root may"
            ):
                ACTIONS[action](str(theirs / name))
        for action in ("names", "folder", "make_folder"):
            with pytest.raises(files.Refused, match=f"{theirs / name} is {kind}"):
                ACTIONS[action](str(theirs / name))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(files.Refused, match="is a FIFO: it is not touched"):
        files.see(str(tmp_path / "fifo"))


def test_a_second_name_of_somebody_elses_file_is_refused(root: Path, theirs: Path) -> None:
    (theirs / "file").hardlink_to(root / "file")
    with pytest.raises(files.Refused, match="second name elsewhere"):
        files.see(str(theirs / "file"))
    (root / "other").hardlink_to(root / "file")
    assert files.see(str(root / "other"))
    with pytest.raises(files.Refused, match="second name"):
        files.set_rights(str(root / "other"), 0o666, **ME)
    files.replace(str(theirs / "file"), b"new", **ME)
    assert (root / "file").read_bytes() == CANARY


def test_a_folder_of_a_third_party_is_not_given_away(theirs: Path) -> None:
    wanted = ME["uid"] + 1
    (theirs / "full").mkdir()
    (theirs / "full" / "file").write_bytes(CANARY)
    with pytest.raises(files.Refused, match="is a folder of .* and not of"):
        files.folder(str(theirs / "full"), wanted)
    with pytest.raises(files.Refused, match="is a folder of .* and not of"):
        files.make_folder(str(theirs / "full"), 0o700, wanted, wanted)
    (theirs / "empty").mkdir()  # as a killed run leaves it
    assert files.folder(str(theirs / "empty"), wanted)


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o000])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        files.make_folder(str(tmp_path / "a" / "b"))
        files.make_folder(str(tmp_path / "c" / "d"), 0o2775, **ME)
        files.private_folder(str(tmp_path / "e"))
        files.write(str(tmp_path / "f"), b"", 0o664, **ME)
        with files.temporary("g.", str(tmp_path)) as folder:
            assert stat.S_IMODE(os.stat(folder).st_mode) == 0o755
    finally:
        os.umask(before)
    found = {str(path.relative_to(tmp_path)): oct(path.stat().st_mode & 0o7777) for path in tmp_path.rglob("*")}
    assert found == {"a": "0o755", "a/b": "0o755", "c": "0o755", "c/d": "0o2775", "e": "0o700", "f": "0o664"}


_LOOP = """
import contextlib, os, shutil, sys
place, real, link = sys.argv[1:]
while True:
    try:
        os.rename(place, real)
        os.rename(link, place)
        os.rename(place, link)
        os.rename(real, place)
    except OSError:  # the other side has made a folder meanwhile: begin again
        with contextlib.suppress(OSError):
            if os.path.islink(place):
                os.rename(place, link)
            elif os.path.exists(real):
                shutil.rmtree(place, ignore_errors=True)
                os.rename(real, place)
"""


@pytest.fixture
def exchanging(root: Path, theirs: Path) -> Iterator[Path]:
    """A folder that somebody exchanges for a link to root's without a pause."""
    (theirs / "place").mkdir()
    (theirs / "place" / "below").mkdir()
    (theirs / "place" / "file").write_bytes(b"theirs")
    (theirs / "link").symlink_to(root)
    words = [sys.executable, "-c", _LOOP, *(str(theirs / name) for name in ("place", "real", "link"))]
    loop = subprocess.Popen(words)
    try:
        yield theirs / "place"
    finally:
        loop.send_signal(signal.SIGKILL)
        loop.wait()


def test_a_folder_that_is_exchanged_meanwhile(exchanging: Path, root: Path) -> None:
    before = state(root)
    seen, refused = set(), 0
    begin = time.monotonic()
    while (passed := time.monotonic() - begin) < 1.5 or (not refused and passed < 20):
        for name in ("see", "write", "replace", "set_rights", "make_folder", "tree", "remove", "remove_tree"):
            path = str(exchanging / ("below" if name in ("tree", "make_folder", "remove_tree") else "file"))
            try:
                found = ACTIONS[name](path)
            except files.Refused:
                refused += 1
            except OSError:
                continue  # it was away just then
            else:
                if name == "see" and isinstance(found, files.Seen):
                    seen.add(found.content)
        with contextlib.suppress(OSError):
            files.write(str(exchanging / "file"), b"new", **ME)
    assert refused, "the loop never met an action"
    assert CANARY not in seen
    assert state(root) == before


def test_a_folder_is_removed_whole_though_others_remove_from_it_too(
    theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/b", "c"):
        (theirs / "box" / name).mkdir(parents=True)
        for number in range(5):
            (theirs / "box" / name / str(number)).touch()
    unlink = os.unlink

    def second(name: str, **where: int) -> None:
        unlink(name, **where)
        unlink(name, **where)

    monkeypatch.setattr(os, "unlink", second)
    assert files.remove_tree(str(theirs / "box"))
    assert not (theirs / "box").exists()
    assert not files.remove_tree(str(theirs / "box"))


def test_a_folder_that_becomes_a_fifo_is_not_waited_for(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (theirs / "box" / "below").mkdir(parents=True)
    (theirs / "tree" / "below").mkdir(parents=True)
    really = os.open

    def opened(name: str, *words: int, **where: int) -> int:
        if name == "below":
            path = os.readlink(f"/proc/self/fd/{where['dir_fd']}") + "/below"
            os.rmdir(path)
            os.mkfifo(path)
        return really(name, *words, **where)

    monkeypatch.setattr(os, "open", opened)
    signal.alarm(10)  # ends pytest itself, should it wait
    try:
        with pytest.raises(OSError, match=f"not empty: '{theirs}/box'"):
            files.remove_tree(str(theirs / "box"))
        assert files.tree(str(theirs / "tree")) == []
    finally:
        signal.alarm(0)


def test_depth_is_no_limit_and_takes_no_descriptors(theirs: Path) -> None:
    here = os.open(theirs, os.O_RDONLY)
    for _level in range(1200):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT, dir_fd=here))
    os.close(here)
    before = os.listdir("/proc/self/fd")
    assert [name for name, _status in files.tree(str(theirs))] == ["deep/" * 1200 + "file"]
    assert files.beginning(str(theirs) + "/deep" * 1200 + "/file", 10) == b""
    assert files.remove_tree(str(theirs / "deep"))
    assert os.listdir(theirs) == []
    assert os.listdir("/proc/self/fd") == before


def test_a_folder_that_is_moved_away_meanwhile_leads_root_nowhere(root: Path, theirs: Path) -> None:
    (theirs / "box" / "below").mkdir(parents=True)
    (theirs / "box" / "below" / "file").touch()
    (theirs / "box" / "file").touch()
    top = os.open(theirs, os.O_RDONLY)
    before = state(root)
    with pytest.raises(files.Refused, match="was moved while root was in it"):
        for _folder, way, _name, _status in walk.below(top, str(theirs)):
            if way == "box/below/":
                (theirs / "box" / "below").rename(root / "moved")
    os.close(top)
    (root / "moved" / "file").unlink()
    (root / "moved").rmdir()
    assert [line[:4] for line in state(root)] == [line[:4] for line in before]


def test_a_file_that_would_take_the_memory_is_refused(theirs: Path, tmp_path: Path) -> None:
    for folder in (theirs, tmp_path):
        with open(folder / "huge", "wb") as file:
            file.truncate((64 << 20) + 1)
    for name in ("see", "digest", "load", "set_rights"):
        with pytest.raises(files.Refused, match="huge is a file of more than 64 MB, in a folder that others"):
            ACTIONS[name](str(theirs / "huge"))
    assert files.text(str(theirs / "huge")) == ""
    assert len(files.digest(str(tmp_path / "huge"))) == 64  # root's own may be large


def test_what_is_written_while_root_reads_is_not_read(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (theirs / "file").write_bytes(b"short")
    really = os.fstat

    def grown(descriptor: int) -> os.stat_result:
        found = really(descriptor)
        if stat.S_ISREG(found.st_mode):
            os.truncate(theirs / "file", 1 << 40)
        return found

    monkeypatch.setattr(os, "fstat", grown)
    seen = files.see(str(theirs / "file"))
    assert seen and seen.content == b"short"


def test_a_folder_in_the_place_of_a_file_is_refused(theirs: Path) -> None:
    (theirs / "file").mkdir()
    for name in ("see", "digest", "load", "set_rights", "remove"):
        with pytest.raises(files.Refused, match="file is a folder, in a folder that others than root may change"):
            ACTIONS[name](str(theirs / "file"))


def test_names_do_not_reach_the_terminal_as_they_are(theirs: Path) -> None:
    (theirs / "a\n\x1b[31mb").symlink_to("/etc")
    with pytest.raises(files.Refused) as refused:
        files.see(f"{theirs}/a\n\x1b[31mb")
    assert str(refused.value).startswith(f"'{theirs}/a\\n\\x1b[31mb' is a symbolic link, in a folder that")


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"files": ')
    with pytest.raises(OSError, match="manifest.json is damaged .*: bring it back from a backup, or move it away"):
        files.load(str(tmp_path / "manifest.json"))


def test_of_a_resolv_conf_nothing_else_is_handed_out(tmp_path: Path) -> None:
    """Services write it, and a link may lead anywhere."""
    path = tmp_path / "resolv.conf"
    (tmp_path / "other").write_text(
        "# secret\nroot:$y$hash\nnameserver 192.0.2.53\nsearch example.org\nnameservers x\n"
    )
    path.symlink_to("other")
    assert files.resolv_conf(str(path)) == ["nameserver 192.0.2.53", "search example.org"]
    os.mkfifo(tmp_path / "fifo")
    for name in ("absent", "fifo", ""):
        assert files.resolv_conf(str(tmp_path / name)) == []
