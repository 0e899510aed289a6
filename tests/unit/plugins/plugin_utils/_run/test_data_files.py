# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where exported data may lie on the controller."""

from __future__ import annotations

import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Refused
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import clamav
from ansible_collections.postamt.mail.plugins.plugin_utils._run.data_files import DataFiles, controller_file


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with an inventory folder, and files beside and in it."""
    for name in (
        "inventory/hosts.yml", "inventory/people.csv", "inventory/files/mail.key", "inventory/group_vars/mail.yml",
        "files/mail.key", "files/only.pem", "people.json", "group_vars/mail/people.csv",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def of(project: Path, source: str, folder: str = "inventory") -> DataFiles:
    sources = [str(project / source)]
    found: dict[str, t.Any] = {"ansible_inventory_sources": sources, "inventory_dir": str(project / folder)}
    return DataFiles.of(found)


def test_paths_begin_beside_the_inventory_be_it_a_folder_or_a_file(project: Path) -> None:
    assert of(project, "inventory").path("files/only.pem") == str(project / "files/only.pem")
    (project / "hosts.yml").touch()
    assert of(project, "hosts.yml", ".").path("files/only.pem") == str(project / "files/only.pem")
    assert of(project, "inventory/hosts.yml").path("files/mail.key") == str(project / "inventory/files/mail.key")


def test_a_path_that_led_out_of_the_folder_still_does(project: Path) -> None:
    assert of(project, "inventory").path("../people.json") == str(project / "people.json")


def test_what_is_absolute_stays_so_and_what_is_absent_is_named_where_it_belongs(project: Path) -> None:
    assert of(project, "inventory").path(str(project / "people.json")) == str(project / "people.json")
    assert of(project, "inventory").path("absent.csv") == str(project / "absent.csv")
    assert DataFiles.of({}).path("absent.csv") == str(Path.cwd() / "absent.csv")


@pytest.mark.parametrize(
    ("source", "given"),
    [
        ("inventory", "people.csv"),
        ("inventory", "inventory/people.csv"),
        ("inventory", "files/../inventory/files/mail.key"),
        ("inventory", "inventory/absent.csv"),
        ("inventory/hosts.yml", "group_vars/mail.yml"),
        ("inventory/hosts.yml", "host_vars/mail.example.org/people.csv"),
    ],
)
def test_no_data_file_lies_where_ansible_reads(project: Path, source: str, given: str) -> None:
    with pytest.raises(Refused, match="where Ansible reads every file as inventory or variables"):
        of(project, source).path(given)


def test_nor_by_a_link_in_either_direction(project: Path) -> None:
    (project / "outside.csv").symlink_to(project / "inventory" / "people.csv")
    (project / "inventory" / "inside.csv").symlink_to(project / "people.json")
    (project / "also").symlink_to(project / "inventory")
    for given in ("outside.csv", "inventory/inside.csv", "also/people.csv"):
        with pytest.raises(Refused, match="move it out"):
            of(project, "inventory").path(given)


@pytest.mark.parametrize("twin", ["link.csv", "deep/link.csv", "hard.csv", "folder/people.json"])
def test_nor_may_ansible_find_it_there_by_another_name(project: Path, twin: str) -> None:
    inventory = project / "inventory"
    (inventory / "deep").mkdir()
    (inventory / "deep" / "loop").symlink_to(inventory)
    (inventory / "deep" / "nowhere").symlink_to(project / "nowhere")
    assert of(project, "inventory").path("people.json") == str(project / "people.json")
    if twin == "hard.csv":
        (inventory / twin).hardlink_to(project / "people.json")
    elif twin.startswith("folder"):
        (inventory / "folder").symlink_to(project)
    else:
        (inventory / twin).symlink_to(project / "people.json")
    with pytest.raises(Refused, match=rf"^is {inventory}/{twin}, too, where Ansible reads .*: remove that link$"):
        of(project, "inventory").path("people.json")


def test_the_refusal_says_where_to_put_it(project: Path) -> None:
    (project / "outside.csv").symlink_to(project / "inventory" / "people.csv")
    with pytest.raises(Refused, match=f"such as to {project}/people.csv$"):
        of(project, "inventory").path("outside.csv")
    (project / "inventory" / "files" / "new.pem").touch()
    with pytest.raises(Refused, match=f"such as to {project}/files/new.pem$"):
        of(project, "inventory").path("files/new.pem")


def test_folders_beside_a_playbook_count_too(project: Path) -> None:
    found = {"inventory_dir": "/nowhere", "playbook_dir": str(project)}
    with pytest.raises(Refused, match=f"lies in {project}/group_vars"):
        DataFiles.of(found).path(str(project / "group_vars" / "mail" / "people.csv"))


def test_a_path_is_text(project: Path) -> None:
    with pytest.raises(Refused, match="must be text on one line"):
        of(project, "inventory").path("people\0.json")


def test_a_file_that_cannot_be_used_is_named_with_its_variable(tmp_path: Path) -> None:
    (tmp_path / "folder.ndb").mkdir()
    (tmp_path / "vaulted.ndb").write_text("$ANSIBLE_VAULT;1.1;AES256\n00\n")

    def read(path: str) -> bytes:
        return controller_file(ACTION, DataFiles(str(tmp_path), ()), path)

    with pytest.raises(SiteError) as refused:
        clamav.supplied({"signatures": ["absent.ndb", "folder.ndb", "vaulted.ndb"]}, read)
    said = [str(problem).removeprefix("mail_clamav_signatures is ") for problem in refused.value.problems]
    where = "relative to the folder that holds the inventory"
    assert said[0] == f"'absent.ndb': must be a file on the controller, {where}; there is no {tmp_path}/absent.ndb"
    assert said[1] == f"'folder.ndb': cannot be used: {tmp_path}/folder.ndb cannot be read: Is a directory"
    assert said[2].startswith(f"'vaulted.ndb': cannot be used: {tmp_path}/vaulted.ndb is encrypted with ansible-vault")


ACTION = types.SimpleNamespace(_loader=types.SimpleNamespace(_vault=None))
