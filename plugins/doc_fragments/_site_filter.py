# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the filters document alike that derive something from a site's variables."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  _input:
    description: The site's C(mail_*) variables; names that do not begin so are passed over.
    type: dict
    required: true
  host:
    description: Fully qualified name of the host.
    type: str
    required: true
  release:
    description: Debian release of the host.
    type: str
    choices: [bookworm, trixie]
    default: trixie
"""
