#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/postfix; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: postfix
short_description: Configure Postfix as the site wants it
version_added: 0.1.0
description:
  - Brings C(main.cf), C(master.cf), lookup tables, packages and units of a host to what the site's C(mail_*)
    variables ask for. Everything is looked at in one call; nothing is done where nothing differs.
  - A change is staged, checked by Postfix's own programs, swapped in by renaming, and taken up by a reload,
    or a restart where a parameter needs one. The health checks of before then run again; where an answer
    got worse, the old files come back and the task fails.
  - What the module wrote and is no longer wanted is removed.
  - Files that neither Debian's packages nor this module wrote stop the task unless C(mail_adopt) is true.
attributes:
  check_mode:
    details: Postfix's own checker is asked too, where Postfix is installed.
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
options:
  settings:
    type: dict
    default: {}
    description:
      - Parameters of C(main.cf) (I(postconf(5))). A value may be text, a number, a boolean or a list.
      - They are merged last and win; C(null) removes one.
  services:
    type: dict
    default: {}
    description:
      - Services of C(master.cf) (I(master(5))) by name and type, such as V(submission/inet). Each is
        a mapping with C(command), and optionally C(private), C(unprivileged), C(chroot), C(wakeup), C(maxproc)
        and C(options).
      - They are merged last and win; C(null) removes one.
"""

EXAMPLES = r"""
- name: Configure Postfix
  postamt.mail.postfix:

- name: Configure Postfix with a parameter of my own
  postamt.mail.postfix:
    settings:
      message_size_limit: 50000000
      smtpd_banner: $myhostname ESMTP
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
  sample:
    - wrote /etc/postfix/main.cf
    - reloaded Postfix
"""
