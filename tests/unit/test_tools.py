"""What the tools of the tests decide by themselves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.tests.lib.tools import tool

HOSTS = tool("hosts")
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
    found: tuple[str, str] = tuple(HOSTS.mirrors(*options, "-o", f"Dir::State::lists={tmp_path}/lists"))
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
    assert configured(tmp_path, "a.list", text) == HOSTS.DEBIAN


def test_the_environment_has_the_last_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBIAN_MIRROR", "http://wish.example/debian")
    found = configured(tmp_path, "a.list", ONE_LINE)
    assert found == ("http://wish.example/debian", "http://wish.example/debian-security")


SUITE = tool("suite")
LOG = """
INFO     [sasl > create] Executing
============================= slowest 10 durations =============================
51.40s call     molecule/sasl/tests/test_sasl.py::test_passwords_are_checked
0.50s setup    tests/every/test_every.py::test_one_change_is_made_once[a b]
"""


def test_the_slowest_tests_are_those_of_all_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SUITE, "LOGS", tmp_path)
    jobs = [SUITE.Job(name, "true", {}) for name in ("one", "two")]
    jobs[0].log.write_text(LOG, encoding="utf-8")
    jobs[1].log.write_text("\n".join(f"{number}.00s call     test_{number}" for number in range(20)), encoding="utf-8")
    said = SUITE.slowest(jobs)
    assert len(said) == 10
    assert said[0].split() == ["51", "s", "one", "molecule/sasl/tests/test_sasl.py::test_passwords_are_checked"]
    assert [line.split()[-1] for line in said[1:]] == [f"test_{number}" for number in range(19, 10, -1)]


def test_a_job_knows_what_its_stages_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SUITE, "LOGS", tmp_path)
    lines = [f"echo 'INFO     [sasl > {stage}] Executing'; sleep 0.7" for stage in ("destroy", "create", "destroy")]
    job = SUITE.Job("stages", "; ".join([*lines, "false"]), {}).run()
    assert not job.passed
    assert list(job.stages) == ["destroy", "create"]
    assert job.stages["destroy"] > job.stages["create"] > 0


def test_every_scenario_is_a_job_on_each_release() -> None:
    names = [job.name for job in SUITE.jobs()]
    scenarios = {path.parent.name for path in SUITE.REPOSITORY.glob("molecule/*/molecule.yml")}
    for release in SUITE.RELEASES:
        found = {name.split("-")[1] for name in names if name.endswith(release)} - {"image"}
        assert found | set(SUITE.MIXED) == scenarios
    assert set(SUITE.LONGEST) <= scenarios
    assert len(names) == len(set(names))
