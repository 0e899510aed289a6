# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Banned files: attachments that are refused for their names or types, in archives too, whatever is in them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.amavis import Amavis, Perl

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*"  # RFC 6838, section 4.2: no quote, which would end Perl's pattern
_DOUBLE = "exe|vbs|pif|scr|bat|cmd|com|cpl|dll"  # as amavis ships it
_END = r"[.\s]*$"  # Windows drops dots and blanks at the end of a name
# A letter that is attached may be named after its sender.  A rule that allowed such names would allow what is in an
# archive of that name, too; a program by such a name is still one for its type.
_NO_ADDRESS = rf"^(?![^@/]+@([a-z0-9-]+\.)+com{_END})"


@dataclasses.dataclass(frozen=True)
class Variables:
    """What is banned; the lists are those that amavis ships."""

    mail_banned_extensions: list[str] = var(
        "Endings of file names that are banned, in archives too.",
        ["exe", "vbs", "pif", "scr", "bat", "cmd", "com", "cpl"],
    )
    mail_banned_types: list[str] = var(
        "MIME types that are banned.",
        ["application/x-msdownload", "application/x-msdos-program", "application/hta"],
    )


def check(site: Site) -> Iterator[Problem]:
    for ending in site.of(Variables).mail_banned_extensions:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", ending):
            yield Problem("mail_banned_extensions", ending, "must be an ending without its dot, such as exe")
    for kind in site.of(Variables).mail_banned_types:
        if not re.fullmatch(rf"{_NAME}/{_NAME}", kind):
            yield Problem("mail_banned_types", kind, "must be a MIME type such as application/hta")


def amavis(site: Site, host: Host) -> Amavis | None:
    return Amavis(settings={"$banned_filename_re": _banned(site.of(Variables))})


def _banned(said: Variables) -> Perl:
    """Return the rules for names and types of attached files: amavis's own, with the site's endings and types."""
    rules = [
        rf"qr'{_NO_ADDRESS}.*\.[^./]*\.({_DOUBLE}){_END}'i",
        r"qr'\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?$'i",
    ]
    rules += [f"qr'^{re.escape(kind)}$'i" for kind in said.mail_banned_types]
    if said.mail_banned_extensions:
        rules.append(rf"qr'{_NO_ADDRESS}.+\.({'|'.join(said.mail_banned_extensions)}){_END}'i")
    rules.append(r"qr'^\.(exe-ms)$'")  # what file(1) makes of programs for Windows
    return Perl(f"new_RE({', '.join(rules)})")
