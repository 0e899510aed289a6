# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""tlsrpt-reportd for one pass: reports of yesterday are made, those whose time has come are mailed, and it ends.

A stranger's domain says in the DNS to whom reports on it go (RFC 8460, 3), so that text is hostile input.
tlsrpt-reportd 0.6.0 takes any number of addresses, and URLs; an address that stands there twice ends it for good. Here
only what destinations() returns counts. A host has this file as /usr/local/lib/postamt/tls-reports. PYTHONPATH says
where tlsrpt-reporter is. The first argument is the host's name, and the options are those of tlsrpt-reportd.
"""

# A command has no AnsibleModule that would end it.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import functools
import hashlib
import importlib
import logging
import re
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

MOST = 2  # addresses of one domain: as many as every sender of DMARC reports has to take (RFC 7489, 6.2)
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_ADDRESS = rf"[a-z0-9_][a-z0-9._+=~-]{{0,63}}@(?=.{{1,253}}\Z)({_LABEL}\.)+(?![0-9]+\Z){_LABEL}"
_URI = re.compile(f"mailto:(?P<address>{_ADDRESS})", re.IGNORECASE)
_STEPS = ("check_day", "collect_domains", "fetch_data", "create_reports", "send_out_reports")


def destinations(record: str) -> list[str]:
    """Return to whom reports go by a domain's record: plain mail addresses as mailto: URIs, each once, and few.

    Nothing is sent over HTTPS: the name of such a URL may lead into the site's own network.
    """
    version, *fields = (field.strip() for field in record.split(";"))
    said = [field[4:] for field in fields if field.lower().startswith("rua=")]
    if version != "v=TLSRPTv1" or not said:
        return []
    found = (_URI.fullmatch(unquote(uri.strip())) for uri in said[0].split(","))
    plain: dict[str, str] = {}
    for uri in filter(None, found):
        plain.setdefault(uri["address"].lower(), f"mailto:{uri['address']}")
    return [*plain.values()][:MOST]


def alone(step: Callable[..., Any], failed: Any) -> Callable[..., Any]:
    """Return a step of one domain that ends no other domain's: where it raises, it logs that, and returns `failed`."""

    @functools.wraps(step)
    def tried(*arguments: Any) -> Any:
        try:
            return step(*arguments)
        except Exception as error:  # whatever it is, the other domains get their reports
            logging.getLogger("tls-reports").error("%r: %s %s", arguments[1:3], type(error).__name__, error)
            return failed

    return tried


def one_pass(reportd: Any) -> int:
    """Do once what tlsrpt-reportd does every five minutes."""
    for step in _STEPS:
        getattr(reportd, step)()
    reportd.con.commit()
    return 0


def name_by_host(daemon: Any, host: str) -> None:
    """Have reports of several hosts of a site differ in their numbers; a reader leaves out what comes twice."""
    report_id, file_name = daemon.report_id, daemon.create_report_filename
    unique = hashlib.sha256(host.encode()).hexdigest()[:8]  # letters and digits (RFC 8460, 5.1)
    daemon.report_id = lambda self, *named: f"{report_id(self, *named)}_{host}"
    daemon.create_report_filename = lambda self, domain, day, number: file_name(self, domain, day, f"{number}{unique}")


def main() -> int:
    """Run tlsrpt-reportd."""
    package: Any = importlib.import_module("tlsrpt_reporter.tlsrpt")
    daemon = package.TLSRPTReportd
    name_by_host(daemon, sys.argv.pop(1))
    package.parse_tlsrpt_record = destinations
    daemon.create_report_for = alone(daemon.create_report_for, None)
    daemon.send_out_report = alone(daemon.send_out_report, package.DeliveryResult.TRYAGAIN)
    daemon.run_loop = one_pass
    return int(package.tlsrpt_reportd_main() or 0)


if __name__ == "__main__":
    sys.exit(main())
