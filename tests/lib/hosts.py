"""The part of testinfra's hosts that tests use, with types: it finds its modules by name, which mypy cannot follow."""

from __future__ import annotations

from typing import Protocol


class Result(Protocol):
    """What a command left."""

    rc: int
    stdout: str
    stderr: str
    stdout_bytes: bytes


class File(Protocol):
    """A file, as stat(1) tells it."""

    exists: bool
    is_directory: bool
    is_symlink: bool
    user: str
    group: str
    mode: int
    content: bytes
    content_string: str
    sha256sum: str


class Service(Protocol):
    """A unit of systemd."""

    is_running: bool
    is_enabled: bool


class Package(Protocol):
    """A package of Debian."""

    is_installed: bool


class Socket(Protocol):
    """A place at which a server may listen."""

    is_listening: bool


class User(Protocol):
    """A user of the host."""

    uid: int
    gid: int


class Host(Protocol):
    """A host, over ssh. Each %s of a command stands for one of the arguments, quoted for the shell."""

    def run(self, command: str, *args: str) -> Result:
        """Run a command, whatever comes of it."""
        ...

    def check_output(self, command: str, *args: str) -> str:
        """Return what a command prints, without the last line's end; it must succeed."""
        ...

    def file(self, path: str) -> File: ...

    def service(self, name: str) -> Service: ...

    def package(self, name: str) -> Package: ...

    def socket(self, where: str) -> Socket: ...

    def user(self, name: str) -> User: ...
