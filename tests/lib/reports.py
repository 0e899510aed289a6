"""Reports as other servers write and send them, after RFC 7489 and RFC 8460; each reporter does it in another way."""

from __future__ import annotations

import email.policy
import gzip
import io
import json
import typing as t
import zipfile
from email.message import EmailMessage, Message
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

BEGIN = 1793750400  # 2026-11-04 00:00 UTC
DAY = 86400


def record(source: str = "192.0.2.25", count: object = 1, dkim: str = "pass", spf: str = "pass", **more: str) -> str:
    """Return one record. more: disposition, domain (of the signature), envelope (its domain)."""
    return f"""
  <record>
    <row>
      <source_ip>{source}</source_ip>
      <count>{count}</count>
      <policy_evaluated>
        <disposition>{more.get("disposition", "none")}</disposition><dkim>{dkim}</dkim><spf>{spf}</spf>
      </policy_evaluated>
    </row>
    <identifiers><envelope_from>example.test</envelope_from><header_from>example.test</header_from></identifiers>
    <auth_results>
      <dkim><domain>{more.get("domain", "example.test")}</domain><result>pass</result><selector>s</selector></dkim>
      <spf><domain>{more.get("envelope", "example.test")}</domain><result>pass</result></spf>
    </auth_results>
  </record>"""


def dmarc(*records: str, domain: str = "example.test", **more: t.Any) -> bytes:
    """Return an aggregate report. more: reporter, number, begin, end, head (before the first element), root."""
    begin = more.get("begin", BEGIN)
    text = f"""{more.get("head", '<?xml version="1.0" encoding="UTF-8" ?>')}
<{more.get("root", "feedback")}>
  <report_metadata>
    <org_name>{more.get("reporter", "google.com")}</org_name>
    <email>noreply-dmarc-support@google.com</email>
    <extra_contact_info>https://support.google.com/a/answer/2466580</extra_contact_info>
    <report_id>{more.get("number", "4711")}</report_id>
    <date_range><begin>{begin}</begin><end>{more.get("end", begin + DAY - 1)}</end></date_range>
  </report_metadata>
  <policy_published>
    <domain>{domain}</domain><adkim>r</adkim><aspf>r</aspf><p>none</p><sp>none</sp><pct>100</pct>
  </policy_published>{"".join(records or [record()])}
</{more.get("root", "feedback").partition(" ")[0]}>
"""
    return text.encode(more.get("encoding", "utf-8"))


def policy(kind: str = "sts", successful: object = 10, failed: object = 0, **more: t.Any) -> dict[str, t.Any]:
    """Return one policy of a TLS report. more: domain, details."""
    details = more.get("details")
    return {
        "policy": {
            "policy-type": kind,
            "policy-string": ["version: STSv1", "mode: testing", "mx: mail.example.test", "max_age: 86400"],
            "policy-domain": more.get("domain", "example.test"),
            "mx-host": ["mail.example.test"],
        },
        "summary": {"total-successful-session-count": successful, "total-failure-session-count": failed},
        **({} if details is None else {"failure-details": details}),
    }


def failure(kind: str = "certificate-expired", count: object = 1) -> dict[str, t.Any]:
    return {
        "result-type": kind,
        "sending-mta-ip": "198.51.100.62",
        "receiving-mx-hostname": "mail.example.test",
        "failed-session-count": count,
        "failure-reason-code": "X509_V_ERR_CERT_HAS_EXPIRED",
    }


def tls(*policies: t.Any, **more: t.Any) -> bytes:
    """Return a TLS report. more: keys that differ, with _ in place of -."""
    said = {
        "organization-name": "Google Inc.",
        "date-range": {"start-datetime": "2026-11-04T00:00:00Z", "end-datetime": "2026-11-04T23:59:59Z"},
        "contact-info": "smtp-tls-reporting@google.com",
        "report-id": "2026-11-04T00:00:00Z_example.test",
        "policies": list(policies) or [policy()],
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return json.dumps(said).encode()


def zipped(*contents: bytes, method: int = zipfile.ZIP_DEFLATED, name: str = "report.xml") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{number}{name}", content)
    return file.getvalue()


def _headed(found: Message, to: str, kind: str) -> bytes:
    found["From"] = "noreply-reports@reporter.example"
    found["To"] = to
    found["Subject"] = f"Report Domain: example.test Submitter: {kind} Report-ID: <4711>"
    found["Date"] = "Thu, 05 Nov 2026 06:00:00 +0000"
    found["Message-ID"] = f"<{kind}-4711@reporter.example>"
    return found.as_bytes(policy=email.policy.SMTP)


def by_google(xml: bytes, to: str = "dmarc@example.test") -> bytes:
    """The whole message is a zip file."""
    found = MIMEApplication(zipped(xml), "zip", name="google.com!example.test!1!2.zip")
    found["Content-Disposition"] = 'attachment; filename="google.com!example.test!1!2.zip"'
    return _headed(found, to, "google.com")


def by_microsoft(xml: bytes, to: str = "dmarc@example.test") -> bytes:
    """gzip as application/octet-stream, beside HTML."""
    found = MIMEMultipart("mixed")
    related = MIMEMultipart("related")
    related.attach(MIMEText("<div>This is a DMARC aggregate report.</div>", "html"))
    found.attach(related)
    attached = MIMEApplication(gzip.compress(xml), "octet-stream")
    attached["Content-Disposition"] = 'attachment; filename="enterprise.protection.outlook.com!example.test!1!2.xml.gz"'
    found.attach(attached)
    return _headed(found, to, "enterprise.protection.outlook.com")


def by_yahoo(xml: bytes, to: str = "dmarc@example.test") -> bytes:
    """gzip as application/gzip, beside plain text."""
    found = EmailMessage()
    found.set_content("This is an aggregate report from Yahoo.\n")
    found.add_attachment(gzip.compress(xml), "application", "gzip", filename="yahoo.com!example.test!1!2.xml.gz")
    return _headed(found, to, "Yahoo")


def by_tls_reporter(document: bytes, to: str = "reports@example.test", packed: bool = True) -> bytes:
    """multipart/report, as RFC 8460 (5.3) wants it."""
    found = MIMEMultipart("report")
    found.set_param("report-type", "tlsrpt")
    found.attach(MIMEText("This is an aggregate TLS report.\n"))
    kind, end = ("tlsrpt+gzip", ".gz") if packed else ("tlsrpt+json", "")
    attached = MIMEApplication(gzip.compress(document) if packed else document, kind)
    attached["Content-Disposition"] = f'attachment; filename="google.com!example.test!1!2!001.json{end}"'
    found.attach(attached)
    found["TLS-Report-Domain"] = "example.test"
    found["TLS-Report-Submitter"] = "google.com"
    return _headed(found, to, "google.com")
