#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Written by `make generate` from plugins/plugin_utils/_programs/haproxy; change that instead.

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy
short_description: Link a mail host with the site's other hosts
version_added: 0.1.0
description:
  - Runs HAProxy in a unit of its own, C(postamt-links.service), with a configuration of its own. It carries
    what the host's programs ask of other hosts, and what those ask of this one, over TLS with certificates
    on both ends.
  - HAProxy's own C(haproxy.service) and C(/etc/haproxy) stay as they are; where the package has just
    come, its unit is disabled.
  - Everything is looked at in one call; nothing is done where nothing differs. After a change each link
    is asked if it answers; where one did before and does not any more, the old files come back and the
    task fails.
  - A host that has no links any more stops them, and what the module wrote is removed.
extends_documentation_fragment:
  - postamt.mail._module
  - postamt.mail._module.program
options:
  settings:
    type: dict
    default: {}
    description:
      - Keywords of HAProxy by section, V(global) and V(defaults), such as C(maxconn). V(true) writes
        the keyword alone.
      - They are merged last and win; C(null) removes one.
"""

EXAMPLES = r"""
- name: Link the host with the site's others
  postamt.mail.haproxy:

- name: Take more connections
  postamt.mail.haproxy:
    settings:
      global:
        maxconn: 8000
"""

RETURN = r"""
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: always
  type: list
  elements: str
  sample:
    - wrote /etc/postamt/haproxy.cfg
    - reloaded HAProxy
"""
