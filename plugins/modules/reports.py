#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: reports
short_description: Add up the reports on the site's mail that other servers sent
version_added: 0.1.0
description:
  - Reads DMARC aggregate reports (RFC 7489) and TLS reports (RFC 8460), adds them up by month and domain, and prints a
    table. The playbook C(postamt.mail.reports) is the way to use it.
  - Runs on all hosts of the site. The one with the mailboxes looks for messages with reports in those to which
    C(mail_dmarc_reports) and C(mail_tls_reports) lead. No mailbox is changed, and no message is marked as read.
  - Reports are unpacked and read on the controller, as what strangers sent. What unpacks beyond limits, has a document
    type (DOCTYPE), or breaks the rules of its format is named and left out.
extends_documentation_fragment: [postamt.mail._module, postamt.mail._module.look]
options:
  month:
    description: Months such as V(2026-11); by default the present and the former one (UTC).
    type: list
    elements: str
    default: []
  folder:
    description:
      - Folder on the controller whose files are read in place of the mailboxes. A file is a message (.eml) or a report
        as it was attached (.xml, .json, .gz, .zip). Keep the name of the attachment. Some TLS reports name their domain
        only there.
    type: str
    default: ''
  json:
    description: File on the controller that gets the result as JSON, readable by its owner alone; not in check mode.
    type: str
    default: ''
  most:
    description: How many messages or files are read at most, the newest messages first, and files by name.
    type: int
    default: 2000
"""

EXAMPLES = r"""
- name: Add up the reports of a month
  postamt.mail.reports:
    month: ['2026-11']
    json: /var/tmp/reports.json
"""

RETURN = r"""
months:
  description:
    - By month, then by domain, C(dmarc) and C(tls).
    - C(dmarc) has C(reporters), messages by who reported them, and C(sources). A source has C(address), whether it is
      the site's C(own), numbers of C(messages), C(dkim_pass) and C(spf_pass) (aligned with From), C(passed) (one of the
      two), C(failed), C(quarantined) and C(rejected), and C(domains) for which it signed or that its envelope named.
    - C(tls) has for each C(reporter) and C(policy) the numbers of C(successful) and C(failed) sessions, and
      C(failures) with C(type), C(receiver) and C(sessions).
  returned: success
  type: dict
reports:
  description: How many reports were added up.
  returned: success
  type: int
left_out:
  description: How many reports and messages were left out, by reason.
  returned: success
  type: dict
broken:
  description: Messages with a report that could not be used, and why.
  returned: success
  type: list
  elements: dict
  sample: [{message: report.xml.gz, why: has a gzip file that is damaged}]
more_broken:
  description: How many more of those there were.
  returned: success
  type: int
"""
