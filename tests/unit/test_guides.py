# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the guides name is there: pages and their headings, variables, playbooks, tests; and pages named elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
import textwrap
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.tests.lib.tools import tool

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [*sorted(REPOSITORY.glob("docs/**/*.md")), REPOSITORY / "README.md"]
GROUPS = {f"mail_{name}" for name in ("mx", "submission", "filter", "store", "directory", "client")}
VARIABLE = re.compile(r"\bmail_[a-z0-9_]+\b")


def name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def anchors(page: Path) -> set[str]:
    """Return what a link to a heading of a page may say, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        file, _hash, heading = target.partition("#")
        other = page.parent / file if file else page
        if not file.startswith("https:") and (not other.exists() or (heading and heading not in anchors(other))):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_variables_are_there(page: Path) -> None:
    known = set(VARIABLE.findall((REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8"))) | GROUPS
    text = page.read_text(encoding="utf-8")
    example = set(re.findall(r"^ +(mail_\w+): \w+ = var\(", text, re.MULTILINE))  # which a page declares as an example
    assert set(VARIABLE.findall(text)) - known - example == set()


def test_the_readme_leads_to_every_page() -> None:
    named = set(re.findall(r"\]\((docs/[^)#\s]+)", (REPOSITORY / "README.md").read_text(encoding="utf-8")))
    assert {name(page) for page in PAGES} - {"README.md"} - named == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_are_named_by_links(page: Path) -> None:
    assert re.findall(r"`[a-z/-]+\.md`|\[[a-z/-]+\.md\]", page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_playbooks_are_there(page: Path) -> None:
    run = re.findall(r"ansible-playbook .*?postamt\.mail\.(\w+)", page.read_text(encoding="utf-8"))
    assert set(run) - {playbook.stem for playbook in (REPOSITORY / "playbooks").glob("*.yml")} == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_targets_of_make_are_there(page: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    asked = re.findall(r"(?:`|^ {4})make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(asked) - set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_of_the_repository_are_there(page: Path) -> None:
    folders = "docs|examples|molecule|playbooks|plugins|roles|tests|tools"
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text(encoding="utf-8"))
    example = r"\bP\b|greeting\.py"  # P stands for any program
    named = [path for path in named if not re.search(example, path)]
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_zone_files_are_written_without_thousands_of_lines_beside_them(page: Path) -> None:
    commands = re.findall(
        r"^ +ansible-playbook .*mail\.show .*mail_zone_dir=.*$", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [command for command in commands if "--tags zones" not in command] == []


def inventories() -> list[Path | str]:
    """Return the inventories that a reader copies: the examples, and those in pages."""
    found: list[Path | str] = sorted((REPOSITORY / "examples").glob("*/hosts.yml"))
    for page in (REPOSITORY / "README.md", REPOSITORY / "docs" / "guides" / "first-mail-server.md"):
        for block in re.findall(r"(?:^ {4}.*\n|^\n)+", page.read_text(encoding="utf-8"), re.MULTILINE):
            if re.match(r"\s*mail:\n", block) and "mail_domains" in block:
                found.append(textwrap.dedent(block.strip("\n")))
    return found


def test_inventories_to_copy_say_who_logs_in(tmp_path: Path) -> None:
    """Without it Ansible calls sudo, as root too, and many servers have no sudo."""
    copied = inventories()
    assert len(copied) == 4
    for inventory in copied:
        path = inventory if isinstance(inventory, Path) else tmp_path / "hosts.yml"
        if isinstance(inventory, str):
            path.write_text(inventory, encoding="utf-8")
        command = ["ansible-inventory", "-i", str(path), "--list"]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert {host.get("ansible_user") for host in found["_meta"]["hostvars"].values()} == {"root"}, inventory


def test_the_command_that_the_demo_ends_with_finds_the_collection(tmp_path: Path) -> None:
    module = tool("demo")
    assert "cd .demo && " in module.BY_HAND
    for name, place in (("DEMO", tmp_path), ("INVENTORY", tmp_path / "inventory"), ("STATE", tmp_path / "state")):
        setattr(module, name, place)
    module.write_folder()
    found = [value for name, value in os.environ.items() if name.startswith("ANSIBLE_") and value]
    environment = {name: value for name, value in os.environ.items() if value not in found}
    command = ["ansible-playbook", "-i", "inventory", "postamt.mail.site", "--list-hosts"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**environment, "HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "mail.example.org" in done.stdout, done.stderr


@pytest.mark.parametrize("target", ["build", "demo", "demo-hosts"])
def test_who_does_not_test_gets_no_tools_of_the_tests(tmp_path: Path, target: str) -> None:
    for file in ("Makefile", "requirements.txt", "requirements-dev.txt", "tools/python"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).symlink_to(REPOSITORY / file)

    def commands(of: str) -> str:
        return subprocess.run(
            ["make", "--dry-run", "--no-print-directory", of], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    assert "-r requirements.txt" in commands(target)
    assert "-r requirements-dev.txt" not in commands(target)
    assert "-r requirements-dev.txt" in commands("test-unit")


def test_the_tarball_is_small_and_has_no_tools_of_the_tests(tmp_path: Path) -> None:
    command = ["ansible-galaxy", "collection", "build", "--output-path", str(tmp_path), str(REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as tarball:
        names = tarball.getnames()
    assert {"README.md", "docs/pictures/mail.svg", "examples/ansible.cfg", "requirements.txt"} <= set(names)
    ours = r"\.|conftest|molecule|tools|tests/(?!config)|Makefile|requirements-dev"
    assert [name for name in names if re.match(ours, name)] == []
    assert built.stat().st_size < 1_000_000


def test_what_the_guide_says_to_be_tested_has_a_test() -> None:
    text = (REPOSITORY / "docs" / "guides" / "security.md").read_text(encoding="utf-8")
    scenarios = set(re.findall(r"`([a-z]+)/(test_[a-z_]+)`", text))
    units = set(re.findall(r"unit ((?:`test_[a-z_]+`(?:, )?)+)", text))
    assert scenarios and units
    for folder, test in scenarios:  # a scenario's own, or tests/mail
        places = (REPOSITORY / "molecule" / folder / "tests", REPOSITORY / "tests" / folder)
        assert any((place / f"{test}.py").exists() for place in places), f"{folder}/{test}"
    for test in re.findall(r"test_[a-z_]+", "".join(units)):
        assert list((REPOSITORY / "tests" / "unit").rglob(f"{test}.py")), test


def test_pages_that_are_named_elsewhere_are_there() -> None:
    named = {}
    for folder in ("plugins", "roles", "molecule", "tools", "examples", "playbooks", "docs"):
        for file in (REPOSITORY / folder).rglob("*"):
            if file.suffix in (".py", ".yml", ".md", ".cfg", "") and file.is_file():
                for page in re.findall(r"docs/[a-z/-]+\.md", file.read_text(encoding="utf-8", errors="replace")):
                    named[page] = name(file)
    assert named
    assert {page: file for page, file in named.items() if not (REPOSITORY / page).exists()} == {}
