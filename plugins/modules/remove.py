#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: remove
short_description: Take this collection away from a host
version_added: 0.1.0
description:
  - Stops and disables the units that the collection runs, deletes the files that it wrote, and puts back what it had
    replaced, with owner and mode. It goes by its records on the host; the site's variables are not read.
  - Mail, the directory with its accounts and passwords, keys, certificates, users and packages stay.
  - A file that somebody has changed since the collection wrote it is kept aside.
  - Starts nothing.
extends_documentation_fragment: [postamt.mail._module, postamt.mail._module.deed]
attributes:
  check_mode:
    description: Can run in check mode and then predicts what it would do, without a trace on the host.
  diff_mode:
    details: The actions name each file.
"""

EXAMPLES = r"""
- name: Take the collection away from the host
  postamt.mail.remove:
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
stays:
  description: What is left on the host, and where.
  returned: success
  type: dict
  sample: {the directory: /var/lib/ldap-mail, keys and certificates: /etc/postamt/tls}
ran:
  description: Units that ran before the collection came, which it does not start again.
  returned: success
  type: list
  elements: str
  sample: [dovecot.service, postfix.service]
"""
