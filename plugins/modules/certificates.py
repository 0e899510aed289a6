#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/certificates; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: certificates
short_description: Give a host its keys and certificates
version_added: 0.1.0
description:
  - Brings the certificates of the site about on a host, from C(mail_certificates) and what else the site's
    variables say.
  - Keys are made on the host and never leave it. The controller signs with the site's own CA, or brings
    files that the user supplies, checked before anything is changed.
  - A certificate is issued anew before it expires, and when its names, its key's type or the CA change.
    The key is kept, unless its type changes.
  - Programs on the host that show another certificate than the one on disk are reloaded, now and whenever
    somebody replaces it (command C(postamt-certificates)). Where C(mail_acme) says so, the host obtains
    a certificate by ACME; a server that does not issue is a warning, since mail flows with a stand-in
    of the site's CA.
attributes:
  check_mode:
    description: Can run in check mode and then predicts what it would do.
  diff_mode:
    description: Returns names, issuer, kind of key and expiry of each certificate, never key material.
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
"""

EXAMPLES = r"""
- name: Keys and certificates
  postamt.mail.certificates:
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
  sample:
    - issued certificate public for mail.example.org, since there is none
    - reloaded Postfix
"""
