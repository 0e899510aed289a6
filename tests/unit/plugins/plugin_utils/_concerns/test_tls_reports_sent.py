# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLS reports to other domains: which hosts send them, from whom they come, and by which program."""

from __future__ import annotations

import configparser
import hashlib
import io
import zipfile
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose, memory
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Refused
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import postfix, tlsrpt_reporter
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import text_of
from ansible_collections.postamt.mail.tests.lib.looks import looked

NAME, WHEEL = "mail.example.org", "files/tlsrpt_reporter-0.6.0-py3-none-any.whl"
TRIXIE, BOOKWORM = looked(release="trixie"), looked(release="bookworm")
SEVERAL = {
    "mx.example.org": HostInput(("mail", "mail_mx"), look=TRIXIE),
    "out.example.org": HostInput(("mail", "mail_submission"), look=BOOKWORM),
    "store.example.org": HostInput(("mail", "mail_store", "mail_directory"), look=TRIXIE),
    "web.example.org": HostInput(("mail", "mail_client"), look=TRIXIE),
}


def site_of(hosts: dict[str, HostInput] | None = None, **said: Any) -> Site:
    given = {"mail_domains": ["example.org", "example.net"], "mail_tls_reporter": WHEEL, **said}
    return parse_site(given, hosts or {NAME: HostInput(look=TRIXIE)}, compose.concerns().values())


def plan(site: Site, name: str = NAME) -> dict[str, Any]:
    return compose.plan("tlsrpt_reporter", site, site.hosts[name])


def content(found: dict[str, Any], path: str) -> str:
    return next(str(file["content"]) for file in found["files"] if file["path"] == path)


def reporting(site: Site, name: str = NAME) -> tuple[str, str]:
    """Return whether Postfix of a host says how connections went, and to whom."""
    host = site.hosts[name]
    main, _services = postfix.configuration(host, compose.contributions("postfix", site, host), {})
    enabled, where = (text_of(main.get(f"smtp_tlsrpt_{word}", "")) for word in ("enable", "socket_name"))
    return enabled, where


def test_no_reports_by_default() -> None:
    site = site_of(mail_tls_reporter=None)
    assert (plan(site)["wanted"], plan(site)["files"]) == (False, [])
    assert reporting(site) == ("", "")


def test_a_host_that_sends_to_the_world_reports() -> None:
    site = site_of()
    found = plan(site)
    assert reporting(site) == ("yes", "tlsrpt/socket")
    assert {unit["name"] for unit in found["units"]} == {"postamt-tlsrpt-collectd.service", "postamt-tls-reports.timer"}
    assert found["directories"] == [
        {"path": "/var/spool/postfix/tlsrpt", "mode": "2750", "owner": "postamt-tlsrpt", "group": "postfix"}
    ]
    assert found["questions"] == [{"kind": "datagrams", "arguments": {"path": "/var/spool/postfix/tlsrpt/socket"}}]
    off = site_of(mail_tls_reporter=None)
    assert memory.needed(site, site.hosts[NAME]) - memory.needed(off, off.hosts[NAME]) == 60 * memory.MB


def test_hosts_of_debian_12_say_that_they_cannot_and_others_report() -> None:
    site = site_of(SEVERAL)
    assert [name for name in SEVERAL if plan(site, name)["wanted"]] == ["mx.example.org"]
    found = plan(site, "out.example.org")
    why = "Postfix 3.7 cannot send TLS reports (mail_tls_reporter): it takes Postfix 3.10, as in Debian 13"
    assert (found["notes"], found["files"]) == ([why], [])
    assert reporting(site, "out.example.org") == ("", "")
    assert not any("tlsrpt" in one.what for _concern, one in site.asked("memory", site.hosts["out.example.org"]))
    assert not any("notes" in plan(site, name) for name in SEVERAL if name != "out.example.org")


def test_a_provider_reports_where_it_sends() -> None:
    site = site_of(mail_relayhost={"host": "smtp.example.net"})
    assert not plan(site)["wanted"]
    assert reporting(site) == ("", "")


@pytest.mark.parametrize(
    ("said", "sender"),
    [
        ({}, "postmaster@example.org"),
        ({"mail_tls_reporter_from": "no-reply.1_x+y=z@example.net"}, "no-reply.1_x+y=z@example.net"),
    ],
)
def test_who_the_reports_come_from(said: dict[str, Any], sender: str) -> None:
    read = configparser.ConfigParser()  # as tlsrpt-reporter does
    read.read_string(content(plan(site_of(**said)), tlsrpt_reporter.CONFIGURATION))
    found = read["tlsrpt_reportd"]
    assert (found["sender_address"], found["contact_info"]) == (sender, sender)
    assert found["organization_name"] == sender.partition("@")[2]
    assert found["sendmail_script"] == f"/usr/sbin/sendmail -i -t -f {sender}"
    assert read["tlsrpt_collectd"]["storage"] == read["tlsrpt_fetcher"]["storage"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"mail_tls_reporter": " "}, "mail_tls_reporter is ' ': must name a file on the controller"),
        ({"mail_tls_reporter": ["x"]}, "mail_tls_reporter"),
        ({"mail_dkim": False}, f"mail_tls_reporter is '{WHEEL}': must not be set with mail_dkim: false"),
        ({"mail_tls_reporter_from": "a@example.com"}, "must be an address in one of mail_domains"),
        ({"mail_tls_reporter_from": "a$(id)@example.org"}, "mail_tls_reporter_from"),
        ({"mail_tls_reporter_from": "o'brien@example.org"}, "must have only letters, digits and"),
        ({"mail_tls_reporter_from": "-oX@example.org"}, "mail_tls_reporter_from"),
        ({"mail_tls_reporter_from": "postmaster"}, "mail_tls_reporter_from"),
    ],
)  # fmt: skip
def test_what_is_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(SiteError) as refused:
        site_of(**said)
    assert why in str(refused.value)


def test_what_strangers_say_fills_no_disk() -> None:
    """A file that grew beyond what systemd allows costs tlsrpt-collectd a few counts, and not itself (tried)."""
    found = plan(site_of())
    unit = content(found, f"/etc/systemd/system/{tlsrpt_reporter.COUNTS}.service")
    assert "\nLimitFSIZE=64M\n" in unit
    assert "\nkeep_days = 3\n" in content(found, tlsrpt_reporter.CONFIGURATION)


def packed(**files: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return file.getvalue()


def test_the_wheel_that_was_tested_goes_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    dist = "tlsrpt_reporter-0.6.0.dist-info"
    listed = {"tlsrpt_reporter/tlsrpt.py": "code", f"{dist}/entry_points.txt": "entries", f"{dist}/METADATA": "",
              "tlsrpt_reporter/example.cfg": "", "other/x.py": "", "tlsrpt_reporter/../../x.py": ""}  # fmt: skip
    wheel = packed(**listed)
    monkeypatch.setattr(tlsrpt_reporter, "WHEELS", {"x.whl": hashlib.sha256(wheel).hexdigest()})
    found = tlsrpt_reporter.supplied(plan(site_of()), lambda _path: wheel)
    folder = "/usr/local/lib/postamt/tlsrpt"
    assert [(file.path, file.content, file.owner, file.mode) for file in found] == [
        (f"{folder}/tlsrpt_reporter/tlsrpt.py", "code", "root", "0644"),
        (f"{folder}/{dist}/entry_points.txt", "entries", "root", "0644"),
    ]


def test_another_file_is_refused() -> None:
    other = packed(x="y")
    with pytest.raises(SiteError) as refused:
        tlsrpt_reporter.supplied(plan(site_of()), lambda _path: other)
    text = str(refused.value)
    assert f"mail_tls_reporter is '{WHEEL}': must be tlsrpt_reporter-0.6.0-py3-none-any.whl as PyPI has it" in text
    assert f"has SHA-256 {hashlib.sha256(other).hexdigest()}" in text
    assert "pip download --no-deps tlsrpt-reporter==0.6.0" in text


def test_a_file_that_is_not_there_is_refused_where_a_host_needs_it() -> None:
    def read(path: str) -> bytes:
        raise Refused(f"there is no {path}")

    with pytest.raises(SiteError, match=f"mail_tls_reporter is '{WHEEL}': there is no {WHEEL}"):
        tlsrpt_reporter.supplied(plan(site_of()), read)
    assert tlsrpt_reporter.supplied(plan(site_of(SEVERAL), "out.example.org"), read) == []
