# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make cn=config as a plan wants it; what does not serve is taken back."""

from __future__ import annotations

import dataclasses
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, observe, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import config, rehearsal
from ansible_collections.postamt.mail.plugins.module_utils._slapd.config import ConfigRequest
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import CONFIG_FILTER, send
from ansible_collections.postamt.mail.plugins.module_utils._slapd.process import UNIT
from ansible_collections.postamt.mail.plugins.module_utils._slapd.run import Run


def configure(run: Run, desired: Mapping[str, Any]) -> bool:
    """Make cn=config as desired, have renewed certificates read, and ask; tells whether the database is there.

    It is not where a run that only predicts would make it. Raises Failed.
    """
    report, record = run.report, run.record
    tree = run.connection.search(config.GLOBAL, "subtree", CONFIG_FILTER)
    try:
        found = config.changes(desired, tree, record.applied.get("config", {}))
    except config.ConfigError as error:
        raise Failed(str(error)) from None
    for request in found:
        report.diffs.append(difference(f"cn=config: {request.what}", request.before, request.after))
    told = any(request.dn == config.GLOBAL and _touches_tls(request) for request in found)
    renewed = _renewed(run) and not told
    if found or renewed:
        _change(run, desired, found, renewed)
    record.applied["config"] = {
        **{name: sorted(desired[name]) for name in ("global", "frontend", "database")},
        "overlays": sorted(name for name, overlay in desired["overlays"].items() if overlay["wanted"]),
    }
    return not run.dry or not any(request.add and "olcSuffix" in request.add for request in found)


def difference(header: str, before: Sequence[str], after: Sequence[str]) -> dict[str, str]:
    """Return an entry of Ansible's diff."""
    old, new = ("".join(f"{line}\n" for line in lines) for lines in (before, after))
    return {"before_header": header, "after_header": header, "before": old, "after": new}


def _renewed(run: Run) -> bool:
    """Tell whether slapd has to read its certificate again."""
    seen = run.change.seen
    return bool(observe.changed_certificates(run.plan, seen.records, seen.watched, run.dry)) and not run.restarted


def _touches_tls(request: ConfigRequest) -> bool:
    return any(name in config.TLS for _verb, name, _values in request.modifications)


def _change(run: Run, desired: Mapping[str, Any], found: Sequence[ConfigRequest], renewed: bool) -> None:
    """Send the changes, and have a renewed certificate read; raises Failed where slapd does not serve then."""
    report = run.report
    if not run.change.missing.get("packages") and "absent" not in run.change.seen.watched.values():
        rehearsal.rehearse(list(found), run.plan["key_group"])
    healthy = not run.dry and not _complaint(run.plan)
    if found:
        if not run.dry:
            _send_all(run, found)
        report.did("changed", "change", f"cn=config: {', '.join(request.what for request in found)}")
    if renewed and report.did("took over", "take over", "the renewed certificate"):
        send(run.connection, config.reloaded_certificates(desired["global"]))
    wrong = _complaint(run.plan) if not run.dry else ""
    if wrong and healthy and found:
        raise Failed(f"does not serve with the new configuration ({wrong}); {_take_back(run, found)}")
    if wrong:
        raise Failed(f"does not serve: {wrong}")


def _send_all(run: Run, found: Sequence[ConfigRequest]) -> None:
    """Send the requests one by one; the first that is refused takes back those before it."""
    run.record.begin()
    for at, request in enumerate(found):
        try:
            send(run.connection, request)
        except Failed as error:
            raise Failed(f"{error}; {_take_back(run, found[:at])}") from None
    _reopen(run, found)


def _reopen(run: Run, found: Sequence[ConfigRequest]) -> None:
    """Restart slapd where a database got another size: 2.6 answers no search in it before, and may end."""
    if any(name == "olcDbMaxSize" for request in found for _verb, name, _values in request.modifications):
        units.act("restart", UNIT)
        run.connection.open()


def _take_back(run: Run, found: Sequence[ConfigRequest]) -> str:
    """Send the inverse of requests; tells what became of it.

    Modules and schema stay, which harms nobody: slapd cannot unload the one and may not remove the other. It also
    keeps TLS once it has it.
    """
    remaining = []
    for request in reversed(found):
        inverse = _inverse(request)
        try:
            if inverse:
                send(run.connection, inverse)
            else:
                remaining.append(request.what)
        except Failed:
            remaining.append(request.what)
    _reopen(run, found)
    if not remaining:
        run.record.under_way = False
        run.record.keep()
    return "the old configuration is back" + (f", except for {', '.join(remaining)}, which stays" if remaining else "")


def _inverse(request: ConfigRequest) -> ConfigRequest | None:
    """Return what takes a request back, None where nothing does."""
    if request.gone is not None:
        return dataclasses.replace(request, add=request.gone, gone=None)
    if request.add and ("olcSuffix" in request.add or "olcOverlay=" in request.dn):
        return dataclasses.replace(request, gone=request.add)
    return dataclasses.replace(request, modifications=request.inverse) if request.inverse else None


def _complaint(plan: Mapping[str, Any]) -> str:
    """Return what is wrong with what slapd serves on port 636, empty if nothing."""
    settings = plan["config"]["global"]
    try:
        context = ssl.create_default_context(cafile=settings["olcTLSCACertificateFile"][0])
        name = plan["server_name"]
        with (
            socket.create_connection((name, 636), timeout=5) as link,
            context.wrap_socket(link, server_hostname=name) as secured,
        ):
            served = secured.getpeercert(binary_form=True)
        pem = files.text(settings["olcTLSCertificateFile"][0])
        end = pem.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)
        on_disk = ssl.PEM_cert_to_DER_cert(pem[pem.index(ssl.PEM_HEADER) : end])
    except (OSError, ValueError, KeyError) as error:
        return f"TLS on port 636: {error}"
    return "" if served == on_disk else "port 636 shows another certificate than the one on disk"
