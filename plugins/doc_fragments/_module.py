# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules document alike: who wrote them, and what they do in check mode and diff mode.

A module's own words win. What modules return is not here: ansible-core 2.19 reads no fragments below RETURN.
"""

from __future__ import annotations


class ModuleDocFragment:
    """Each module extends `_module`, and one of `_module.program`, `_module.deed` and `_module.look`."""

    DOCUMENTATION = r"""
author: [the postamt.mail authors (@postamt)]
options: {}
"""

    # sets a program up, from what the site's variables say
    PROGRAM = r"""
attributes:
  check_mode:
    description: Can run in check mode and then predicts what it would do, without a trace on the host.
    support: full
  diff_mode:
    description: Returns the differences of files, secret content as a fingerprint.
    support: full
"""

    # does one thing that somebody asks for
    DEED = r"""
attributes:
  check_mode:
    description: Can run in check mode and then says what it would do.
    support: full
  diff_mode:
    description: Returns what changed when run in diff mode.
    support: none
    details: The actions say it.
"""

    # reads
    LOOK = r"""
attributes:
  check_mode:
    description: Can run in check mode and then does the same.
    support: full
  diff_mode:
    description: Returns what changed when run in diff mode.
    support: none
    details: The module changes nothing on a host.
"""
