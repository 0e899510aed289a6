# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller remembers between runs: generated passwords, the site's CA, what was last applied.

One folder, mail_state_dir: 0700, its files 0600, every write atomic, changes made under one lock. A file that
ansible-vault encrypted is read, and written again, with the vault secrets of the run.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import time
import typing as t
from collections.abc import Iterator, Mapping

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.yaml import yaml_dump, yaml_load  # in C where libyaml is there, eight times as fast
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

SECRETS_FILE = "secrets.yml"
SECRETS_VARIABLE = "mail_generated_passwords"
LOCK_FILE = ".lock"
_VAULT_HEADER = b"$ANSIBLE_VAULT;"
_SECRETS_HEAD = """\
---
# Passwords that postamt.mail generated. Ansible reads this file as variables (-e @secrets.yml, vars_files), also after
# ansible-vault encrypt. Change a password here and the next run applies it; remove one and the next run makes another.
"""


class StateError(Exception):
    """The state folder cannot be used; the text says in one sentence which file, and what to do."""


class Vault(t.Protocol):
    """What is needed of ansible.parsing.vault.VaultLib; an action has one in `self._loader._vault`."""

    def decrypt_and_get_vault_id(self, vaulttext: bytes) -> tuple[bytes, str, t.Any]:
        """Return the plain text, the vault id and the secret that opened it."""

    def encrypt(self, plaintext: bytes, secret: t.Any = None, vault_id: str | None = None) -> bytes:
        """Return the vault text."""


def _make_parents(path: str) -> None:
    """Make the folders above a path, with whatever umask: who may write in one can put another folder in its place."""
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        _make_parents(parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(parent, 0o755)


class State:
    """The folder `mail_state_dir`.

    folder: its path, `~` allowed; made at the first write. vault: opens encrypted files; None where there is none.
    Reading needs no lock, since files are replaced by renaming; whoever reads in order to write holds the lock.
    Check mode reads and neither locks nor writes, so it leaves no trace.
    """

    def __init__(self, folder: str, vault: Vault | None = None) -> None:
        self.folder = os.path.abspath(os.path.expanduser(folder))
        self._vault = vault
        self._lock: int | None = None
        self._depth = 0

    def path(self, name: str) -> str:
        """Return the full path of a file in the folder."""
        return os.path.join(self.folder, name)

    @contextlib.contextmanager
    def locked(self, timeout: float = 60) -> Iterator[None]:
        """Hold the folder against other forks and other runs; entering it again in the same object is free.

        timeout: seconds to wait. Raises StateError when they are over.
        """
        if not self._depth:
            self._prepare()
            self._lock = self._acquire(timeout)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth and self._lock is not None:
                os.close(self._lock)  # gives the lock up
                self._lock = None

    def read(self, name: str) -> bytes | None:
        """Return a file's plain content, decrypted where it is vaulted; None where there is no such file."""
        data = self._raw(name)
        return self._decrypted(name, data)[0] if data is not None else None

    def write(self, name: str, data: bytes, *, secret: bool = True) -> None:
        """Replace a file at once and durably; it stays vaulted if it was, and a new secret one is if secrets.yml is."""
        with self.locked():
            known = self._raw(name)
            if known is None and secret:
                name_alike, alike = SECRETS_FILE, self._raw(SECRETS_FILE)
            else:
                name_alike, alike = name, known
            if alike is not None and alike.startswith(_VAULT_HEADER):
                _plain, vault_id, vault_secret = self._decrypted(name_alike, alike)
                data = t.cast(Vault, self._vault).encrypt(data, vault_secret, vault_id)
            try:
                self._replace(self.path(name), data)
            except OSError as error:
                raise StateError(f"{self.path(name)} cannot be written: {error.strerror}") from None

    def known_secrets(self) -> dict[str, str]:
        """Return the generated passwords by name: an account's address, or a word such as service:postfix."""
        return {str(name): str(value) for name, value in self._secrets()[SECRETS_VARIABLE].items()}

    def add_secrets(self, made: Mapping[str, str]) -> None:
        """Remember new passwords; call it under the lock that was taken before known_secrets().

        Raises StateError where another run has meanwhile remembered another password by the same name.
        """
        if not made:
            return
        with self.locked():
            content = self._secrets()
            known = content[SECRETS_VARIABLE]
            for name, value in made.items():
                if known.setdefault(name, value) != value:
                    raise StateError(
                        f"{self.path(SECRETS_FILE)}: another run has just made a password for {name}; run again"
                    )
            self._write_secrets(content)

    def set_secrets(self, changes: Mapping[str, str | None]) -> None:
        """Remember passwords as they are now, None for one that is to be forgotten."""
        with self.locked():
            content = self._secrets()
            known = {**content[SECRETS_VARIABLE], **changes}
            content[SECRETS_VARIABLE] = {name: value for name, value in known.items() if value is not None}
            self._write_secrets(content)

    def _write_secrets(self, content: dict[str, t.Any]) -> None:
        text = yaml_dump(content, default_flow_style=False, allow_unicode=True, width=200)
        self.write(SECRETS_FILE, (_SECRETS_HEAD + text).encode())

    def _secrets(self) -> dict[str, t.Any]:
        """Return all of secrets.yml: an administrator may keep further variables in it."""
        place = self.path(SECRETS_FILE)
        try:
            content = yaml_load(self.read(SECRETS_FILE) or b"") or {}
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)  # the error's own text would quote the line, password included
            line = f" (line {mark.line + 1})" if mark else ""
            raise StateError(
                f"{place} must be a YAML file of plain values{line}; vault all of it, not single values"
            ) from None
        passwords = content.setdefault(SECRETS_VARIABLE, {}) if isinstance(content, dict) else None
        if passwords is None and isinstance(content, dict):
            passwords = content[SECRETS_VARIABLE] = {}
        if not isinstance(passwords, dict) or not all(isinstance(value, str) for value in passwords.values()):
            raise StateError(f"{place} must hold a mapping {SECRETS_VARIABLE} from names to passwords in quotes")
        return t.cast(dict[str, t.Any], content)

    def _raw(self, name: str) -> bytes | None:
        try:
            with open(self.path(name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{self.path(name)} cannot be read: {error.strerror}") from None

    def _decrypted(self, name: str, data: bytes) -> tuple[bytes, str, t.Any]:
        if not data.startswith(_VAULT_HEADER):
            return data, "", None
        try:
            if self._vault is not None:
                return self._vault.decrypt_and_get_vault_id(data)
        except AnsibleError:
            pass
        raise StateError(
            f"{self.path(name)} is encrypted with ansible-vault and no vault secret at hand opens it: "
            "run with --vault-id or --vault-password-file"
        )

    def _prepare(self) -> None:
        """Make the folder, or close one that is open; a folder that holds other things is not ours to close."""
        try:
            _make_parents(self.folder)
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.folder, 0o700)
            names = os.listdir(self.folder)
            if stat.S_IMODE(os.stat(self.folder).st_mode) & 0o077:
                if names and not {SECRETS_FILE, LOCK_FILE, "ca.pem"} & set(names):
                    raise StateError(
                        f"{self.folder} is open to other users and holds files that are not of this collection: "
                        "let mail_state_dir name a folder of its own"
                    )
                os.chmod(self.folder, 0o700)
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # another fork's .new-*, which has its own name by now
                    status = os.lstat(self.path(name))
                    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:  # such as after a git checkout
                        os.chmod(self.path(name), 0o600)
        except OSError as error:
            raise StateError(f"mail_state_dir {self.folder} cannot be used: {error.strerror}") from None

    def _acquire(self, timeout: float) -> int:
        # flock(2), since a POSIX lock would be lost with the first close of the file anywhere in the process
        handle = os.open(self.path(LOCK_FILE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    holder = os.read(handle, 32).decode(errors="replace").strip()
                    os.close(handle)
                    raise StateError(
                        f"{self.folder} is held by another run (process {holder or 'unknown'}) for more than "
                        f"{timeout:g} seconds: wait for it to end, then run again"
                    ) from None
                time.sleep(0.05)
            else:
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
                return handle

    @staticmethod
    def _replace(path: str, data: bytes) -> None:
        target = os.path.realpath(path)
        folder = os.path.dirname(target)
        handle, staged = tempfile.mkstemp(prefix=".new-", dir=folder)  # 0600 from the start
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(staged, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(staged)
            raise
        parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)


def state_dir(site: Site) -> str:
    """Return the folder of the controller's state for a site."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.expanduser(site.core.mail_state_dir or os.path.join(home, "postamt.mail", site.server_name))


def state_of(action: t.Any, site: Site) -> State:
    """Return the controller's state of a site, as an action may use it."""
    return State(state_dir(site), action._loader._vault)
