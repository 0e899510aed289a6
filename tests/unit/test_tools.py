"""What the tools of the tests decide by themselves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.tests.lib.tools import tool

MIRROR = tool("debian_mirror")
ONE_LINE = """
# deb http://old.example/debian trixie main
deb-src http://source.example/debian trixie main
deb [arch=amd64] http://other.example/tools trixie main
deb http://mirror.example/debian/ trixie main contrib
deb http://security.example/debian-security trixie-security main
"""
DEB822 = """
Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main
Enabled: no

Types: deb deb-src
URIs: http://mirror.example/debian
Suites: trixie trixie-updates
Components: main

Types: deb
URIs: http://security.example/debian-security
Suites: trixie-security
Components: main
"""
FOUND = ("http://mirror.example/debian", "http://security.example/debian-security")


def configured(tmp_path: Path, name: str, text: str) -> tuple[str, str]:
    """The mirrors of a machine whose apt has this file alone, and has fetched nothing yet."""
    if not shutil.which("apt-get"):
        pytest.skip("this machine has no apt")
    (tmp_path / "lists").mkdir()
    (tmp_path / name).write_text(text, encoding="utf-8")
    places = {"SourceList": tmp_path / name, "SourceParts": "/dev/null"}
    options = [word for key, value in places.items() for word in ("-o", f"Dir::Etc::{key}={value}")]
    found: tuple[str, str] = tuple(MIRROR.mirrors(*options, "-o", f"Dir::State::lists={tmp_path}/lists"))
    return found


@pytest.mark.parametrize(("name", "text"), [("a.list", ONE_LINE), ("a.sources", DEB822)])
def test_packages_come_from_where_apt_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.delenv("DEBIAN_MIRROR", raising=False)
    assert configured(tmp_path, name, text) == FOUND


@pytest.mark.parametrize(
    "text",
    [
        "",
        "deb https://mirror.example/debian trixie main\n",
        "deb http://ports.example/ubuntu noble main\n",
        "deb nonsense\n",
    ],
    ids=["nothing", "a mirror that needs certificates", "another distribution", "a mistake"],
)
def test_debians_own_serves_where_apt_says_nothing_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.delenv("DEBIAN_MIRROR", raising=False)
    assert configured(tmp_path, "a.list", text) == MIRROR.DEFAULT


def test_the_environment_has_the_last_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBIAN_MIRROR", "http://wish.example/debian")
    found = configured(tmp_path, "a.list", ONE_LINE)
    assert found == ("http://wish.example/debian", "http://wish.example/debian-security")
