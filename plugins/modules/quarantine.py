#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: quarantine
short_description: List and release mail that the content filter keeps
version_added: 0.1.0
description:
  - Lists the mail in amavis's quarantine on a host, and hands what is named to Postfix for its recipients, unfiltered.
extends_documentation_fragment: [postamt.mail._module, postamt.mail._module.deed]
options:
  release:
    description: Names of mail as the list shows them, such as V(m/virus-mPyekfjEs-ey).
    type: list
    elements: str
    default: []
attributes:
  diff_mode:
    details: No file is changed.
"""

EXAMPLES = r"""
- name: List the quarantine
  postamt.mail.quarantine:

- name: Release one message
  postamt.mail.quarantine:
    release: [m/banned-Z66m_eeiQ1SJ]
"""

RETURN = r"""
mails:
  description: Mail in the quarantine before anything was released, oldest first.
  returned: success
  type: list
  elements: dict
  sample:
    - id: m/virus-mPyekfjEs-ey
      time: "1764000000"
      reason: INFECTED, message contains virus
      sender: <stranger@example.net>
      recipients: <alice@example.org>
      subject: Your invoice
notes:
  description: What in the folder was passed over, such as a link, one sentence each; or that no mail is there.
  returned: success
  type: list
  elements: str
actions:
  description: What was released.
  returned: success
  type: list
  elements: str
"""
