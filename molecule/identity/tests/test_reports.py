"""Reports that other servers send: they arrive by SMTP, and are read in the mailbox without a trace."""

from __future__ import annotations

import json
import time
from pathlib import Path

from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib import reports
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import STRANGER
from ansible_collections.postamt.mail.tests.lib.reports import dmarc, failure, policy, record, tls
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunOther, Site

DMARC, TLS = "dmarc@example.test", "reports@example.test"  # the first is an alias of the second
DAY = 86400


def looked_at(host: Host) -> str:
    """Return what tells whether somebody has read or changed the mailbox."""
    fields = "'mailbox uid flags modseq size.physical'"
    return host.check_output(f"doveadm -f tab fetch -u {TLS} {fields} ALL; find /var/vmail -type f -path '*/cur/*'")


def test_reports_that_arrive_are_added_up(site: Site, host: Host, ask: Ask, ansible: RunOther, tmp_path: Path) -> None:
    begin = int(time.time()) // DAY * DAY - DAY
    month = time.strftime("%Y-%m", time.gmtime(begin + DAY // 2))
    day = time.strftime("%Y-%m-%d", time.gmtime(begin))
    said = {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"}
    number = f"{time.time()}"
    own, stranger = record(site.ipv4, 30), record("198.51.100.7", 12, "fail", "fail", disposition="reject")
    letters = [
        (DMARC, reports.by_google(dmarc(own, stranger, begin=begin, number=number), DMARC)),
        (DMARC, reports.by_microsoft(dmarc(own, begin=begin, reporter="Outlook", number=number), DMARC)),
        (DMARC, reports.by_yahoo(dmarc(begin=begin, domain="evil.example", number=number), DMARC)),
        (TLS, reports.by_tls_reporter(tls(policy(failed=1, details=[failure()]), date_range=said), TLS)),
        (TLS, reports.by_tls_reporter(b"{", TLS)),
        (TLS, b"From: friend@example.net\r\nTo: reports@example.test\r\nSubject: lunch\r\n\r\nat one?\r\n"),
    ]
    for to, content in letters:
        assert smtp_send(ask(25), STRANGER, [to], content).accepted
    all_there = f"[ $(doveadm search -u {TLS} ALL | wc -l) -ge {len(letters)} ]"
    host.check_output(f"for i in $(seq 60); do {all_there} && break; sleep 1; done; {all_there}")
    before = looked_at(host)
    file = tmp_path / "reports.json"
    arguments = {"reports_month": month, "reports_json": str(file)}
    ansible("postamt.mail.reports", arguments, "--check")
    assert not file.exists()
    shown = ansible("postamt.mail.reports", arguments)
    assert "changed=0" in shown and "failed=0" in shown
    assert "DMARC, example.test: 72 messages, 60 passed, 12 failed" in shown
    assert "has JSON that cannot be read" in shown
    data = json.loads(file.read_text(encoding="utf-8"))
    found = data["months"][month]["example.test"]
    assert [(one["address"], one["own"], one["messages"], one["rejected"]) for one in found["dmarc"]["sources"]] == [
        ("198.51.100.7", False, 12, 12),
        (site.ipv4, True, 60, 0),
    ]
    failures = [{"type": "certificate-expired", "receiver": "mail.example.test", "sessions": 1}]
    assert found["tls"][0]["failures"] == failures
    assert (data["reports"], data["left_out"]["foreign"], len(data["broken"])) == (3, 1, 1)
    assert data["left_out"]["without_report"] == 0, "other mail is not even fetched"
    assert looked_at(host) == before
    ansible("postamt.mail.reports", {**arguments, "reports_month": "2020-01"})
    assert json.loads(file.read_text(encoding="utf-8"))["reports"] == 0
