# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's state: real files, real locks between processes, ansible's own vault."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import SECRETS_FILE, State, StateError

KEYS = [("prod", VaultSecret(b"first")), ("dev", VaultSecret(b"second"))]


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(str(tmp_path / "deep" / "state"), VaultLib(KEYS))


def vaulted(state: State, secret: int = 1) -> None:
    """Encrypt secrets.yml as `ansible-vault encrypt --encrypt-vault-id` does."""
    path = Path(state.path(SECRETS_FILE))
    name, key = KEYS[secret]
    path.write_bytes(VaultLib(KEYS).encrypt(path.read_bytes(), key, name))


def test_reading_leaves_no_trace(state: State) -> None:
    assert state.known_secrets() == {}
    assert state.read("ca.key") is None
    assert not os.path.exists(state.folder)


def test_secrets_are_private_and_ansible_reads_them(state: State) -> None:
    made = {"alice@example.org": "yes", "service:postfix": "0123", "bob@example.org": "a: #b"}
    state.add_secrets(made)
    assert state.known_secrets() == made
    assert mode(state.folder) == 0o700
    assert {mode(state.path(name)) for name in os.listdir(state.folder)} == {0o600}
    assert yaml.safe_load(Path(state.path(SECRETS_FILE)).read_text()) == {"mail_generated_passwords": made}


def test_what_else_stands_in_the_file_stays(state: State) -> None:
    state.add_secrets({"a": "1"})
    path = Path(state.path(SECRETS_FILE))
    path.write_text(path.read_text() + "vault_relay_password: mine\n")
    state.add_secrets({"b": "2"})
    assert yaml.safe_load(path.read_text())["vault_relay_password"] == "mine"
    assert state.known_secrets() == {"a": "1", "b": "2"}


def test_a_vaulted_file_is_read_and_stays_vaulted_with_its_id(state: State) -> None:
    state.add_secrets({"a": "1"})
    vaulted(state)
    state.add_secrets({"b": "2"})
    assert state.known_secrets() == {"a": "1", "b": "2"}
    raw = Path(state.path(SECRETS_FILE)).read_bytes()
    assert raw.startswith(b"$ANSIBLE_VAULT;1.2;AES256;dev\n")
    assert b"2" in VaultLib([KEYS[1]]).decrypt(raw)


def test_new_secret_files_are_vaulted_like_the_passwords(state: State) -> None:
    state.add_secrets({"a": "1"})
    vaulted(state, 0)
    state.write("ca.key", b"key")
    state.write("ca.pem", b"certificate", secret=False)
    assert Path(state.path("ca.key")).read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;prod\n")
    assert Path(state.path("ca.pem")).read_bytes() == b"certificate"
    assert state.read("ca.key") == b"key"


@pytest.mark.parametrize("vault", [None, VaultLib(), VaultLib([("other", VaultSecret(b"wrong"))])])
def test_a_vaulted_file_without_its_secret_is_named(state: State, vault: VaultLib | None) -> None:
    state.add_secrets({"a": "1"})
    vaulted(state)
    before = Path(state.path(SECRETS_FILE)).read_bytes()
    stranger = State(state.folder, vault)
    with pytest.raises(StateError, match=f"^{state.path(SECRETS_FILE)} is encrypted with ansible-vault and no vault"):
        stranger.add_secrets({"b": "2"})
    assert Path(state.path(SECRETS_FILE)).read_bytes() == before


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("- a\n", "must hold a mapping mail_generated_passwords"),
        ("mail_generated_passwords: {a: 12}\n", "from names to passwords in quotes"),
        ("mail_generated_passwords: {a: !vault hunter2}\n", "vault all of it, not single values"),
        ("mail_generated_passwords:\n  a: 'hunter2\n", "must be a YAML file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_without_its_content(state: State, content: str, sentence: str) -> None:
    state.add_secrets({"a": "1"})
    Path(state.path(SECRETS_FILE)).write_text(content)
    with pytest.raises(StateError) as caught:
        state.known_secrets()
    assert sentence in str(caught.value)
    assert state.path(SECRETS_FILE) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_emptied_file_is_none_yet(state: State) -> None:
    state.write(SECRETS_FILE, b"mail_generated_passwords:\n")
    assert state.known_secrets() == {}


def test_another_password_by_the_same_name_is_refused(state: State) -> None:
    state.add_secrets({"a": "1"})
    state.add_secrets({"a": "1"})
    with pytest.raises(StateError, match="another run has just made a password for a"):
        state.add_secrets({"a": "2"})


def test_a_held_folder_is_told_with_its_holder(state: State) -> None:
    with (
        state.locked(),
        pytest.raises(StateError, match=rf"held by another run \(process {os.getpid()}\)"),
        State(state.folder).locked(timeout=0.1),
    ):
        pass
    with State(state.folder).locked(timeout=0.1):
        pass


def add_one(folder: str, number: int) -> None:
    state = State(folder)
    with state.locked():
        known = state.known_secrets()
        state.add_secrets({str(number): str(len(known))})


def test_parallel_forks_lose_nothing(state: State) -> None:
    workers = [multiprocessing.get_context("fork").Process(target=add_one, args=(state.folder, n)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert sorted(state.known_secrets().values()) == [str(n) for n in range(8)]
    assert [name for name in os.listdir(state.folder) if name.startswith(".new-")] == []


def test_a_file_that_another_fork_has_just_renamed_is_not_missed(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    state.add_secrets({"a": "1"})
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*listed(path), ".new-gone"])
    state.add_secrets({"b": "2"})
    assert state.known_secrets() == {"a": "1", "b": "2"}


def test_an_open_folder_of_ours_is_closed(state: State) -> None:
    state.add_secrets({"a": "1"})
    os.chmod(state.folder, 0o755)  # such as after a git checkout
    os.chmod(state.path(SECRETS_FILE), 0o644)
    state.add_secrets({"b": "2"})
    assert mode(state.folder) == 0o700
    assert mode(state.path(SECRETS_FILE)) == 0o600


def test_an_open_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("")
    os.chmod(tmp_path, 0o755)
    with pytest.raises(StateError, match="holds files that are not of this collection"):
        State(str(tmp_path)).add_secrets({"a": "1"})
    assert mode(str(tmp_path)) == 0o755


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="mail_state_dir .*/file/state cannot be used"):
        State(str(tmp_path / "file" / "state")).add_secrets({"a": "1"})


def test_nobody_else_may_write_above_the_folder_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        State(str(tmp_path / "share" / "mail" / "state")).write("ca.key", b"x")
    finally:
        os.umask(before)
    assert [mode(str(tmp_path / path)) for path in ("share", "share/mail", "share/mail/state")] == [0o755, 0o755, 0o700]


def test_a_link_to_elsewhere_is_followed(state: State, tmp_path: Path) -> None:
    state.add_secrets({"a": "1"})
    elsewhere = tmp_path / "elsewhere.yml"
    os.rename(state.path(SECRETS_FILE), elsewhere)
    os.symlink(elsewhere, state.path(SECRETS_FILE))
    state.add_secrets({"b": "2"})
    assert os.path.islink(state.path(SECRETS_FILE))
    assert "b" in elsewhere.read_text()


def test_a_password_is_replaced_and_another_forgotten(state: State) -> None:
    state.add_secrets({"a": "1", "b": "2"})
    vaulted(state)
    state.set_secrets({"a": "3", "b": None, "c": None})
    assert state.known_secrets() == {"a": "3"}
    assert Path(state.path(SECRETS_FILE)).read_bytes().startswith(b"$ANSIBLE_VAULT;")
