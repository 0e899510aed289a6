#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_look
short_description: See what a mail host is like
version_added: 0.1.0
description:
  - Looks at a host once, fast and read-only, and returns what the site model needs to know of it.
  - It asks much less than M(ansible.builtin.setup) and also the versions of the installed mail programs.
extends_documentation_fragment: [postamt.mail._module, postamt.mail._module.look]
options:
  port_25:
    description: Whether to ask port 25 of the host which certificates it shows to other servers.
    type: bool
    default: false
  request:
    description: What to look for. The module's action says it; playbooks do not.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: See what the host is like
  postamt.mail.host_look:
  register: seen
"""

RETURN = r"""
look:
  description: What was seen.
  returned: success
  type: dict
  contains:
    release:
      description: Code name of the Debian release, or identifier and version of another system.
      type: str
      sample: trixie
    architecture:
      description: Debian's name of the architecture.
      type: str
      sample: amd64
    memory:
      description: Main memory in bytes, or what a container may use of it.
      type: int
    swap:
      description: Swap space in bytes.
      type: int
    cores:
      description: Processors that this host may use.
      type: int
    addresses:
      description: Addresses that are neither loopback nor link-local, those of IPv4 first.
      type: list
      elements: str
      sample: ["192.0.2.25", "2001:db8::25"]
    ipv6:
      description: Whether the kernel speaks IPv6.
      type: bool
    ca:
      description: >-
        SHA-256 of the certificate of the site's own CA that the host trusts, empty where it has none yet. A controller
        that has another CA must not go on.
      type: str
    unclaimed:
      description: >-
        Programs, by the names of their roles, that are configured on the host and that this collection has never set
        up there.
      type: list
      elements: str
      sample: [dovecot, postfix]
    claimed:
      description: Programs that this collection has set up on the host.
      type: list
      elements: str
    firewall:
      description: >-
        What else decides which packets come in, such as V(ufw), V(firewalld), or tables with rules for input;
        looked for only where group C(mail) has several hosts.
      type: list
      elements: str
      sample: [rules of nftables in table inet filter]
    holds:
      description: >-
        What the site would miss if this host left it: C(directory), whose accounts are changed here, C(arriving), a
        directory that was brought here by C(postamt.mail.move_directory) and is not in use yet, and C(mailboxes).
      type: list
      elements: str
      sample: [directory, mailboxes]
    in_the_way:
      description: >-
        What keeps user and group C(vmail), who own the mailboxes of the directory's accounts, from number 5000.
      type: list
      elements: str
      sample: [user deploy has 5000]
    masked:
      description: Units of systemd that somebody has masked, whether they are installed or not.
      type: list
      elements: str
      sample: [postfix.service]
    versions:
      description: >-
        Upstream versions of the installed ones among C(postfix), C(dovecot) and C(slapd). What is not installed is
        absent.
      type: dict
      sample: {postfix: 3.10.13, dovecot: 2.4.1, slapd: 2.6.10}
settled:
  description: >-
    Digests of the plans, by program, that were applied last and as which the host still is: files, packages, users,
    units, ports, certificates on the wire and the directory are as they were left.
  returned: success
  type: dict
doubts:
  description: Why other programs may not be as the last run left them, in sentences by program.
  returned: success
  type: dict
  sample: {postfix: [/etc/postfix/main.cf is not as it was written]}
notes:
  description: What was told of programs in C(settled) and still holds, in sentences by program.
  returned: success
  type: dict
chains:
  description: The certificates that port 25 shows, each with its chain, in PEM.
  returned: if O(port_25) is true, and it was clear which certificates there are
  type: list
  elements: str
seen:
  description: What programs in C(settled) have there that may have to be renewed all the same, such as certificates.
  returned: success
  type: dict
parts:
  description: Digests of what the configurations of programs in C(settled) consist of, such as links to other hosts.
  returned: success
  type: dict
"""

from ansible_collections.postamt.mail.plugins.module_utils._engine import look, module


def main() -> None:
    options = {"port_25": {"type": "bool", "default": False}, "request": {"type": "dict", "default": {}}}
    module.run(look.apply, options, "the look")


if __name__ == "__main__":
    main()
