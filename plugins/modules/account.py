#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: account
short_description: List, add, disable and delete accounts, and set passwords, between two runs
version_added: 0.1.0
description:
  - Works where the site's accounts live, on the host that takes changes (filter P(postamt.mail.accounts_host#filter)
    names it); on other hosts the task is skipped. The next run of C(postamt.mail.site) leaves what was done here as it
    is.
  - Where mailboxes are on another host, further tasks do what is left there; the playbooks C(postamt.mail.account) and
    C(postamt.mail.password) have them all, and go to the right hosts by themselves.
  - A new password is shown once on the screen of the controller, and is in no result and no log file.
  - Where the site's accounts are users of the host (C(mail_accounts_backend) is C(system)), the inventory says who
    has mail, and this module adds, disables and enables the users of these accounts. No other user is changed.
extends_documentation_fragment: [postamt.mail._module, postamt.mail._module.deed]
options:
  account:
    description: Address of the account. Without it, and with O(state=listed), all accounts are listed.
    type: str
  state:
    description:
      - V(listed) changes nothing.
      - V(present) adds an account that is not in the inventory, with a generated password, or changes what is said of
        it. On a host with users as accounts it adds the user of an account that is in the inventory, or changes the
        full name.
      - V(enabled) and V(disabled) let an account log in and receive mail, or not; its mail is kept. V(enabled) also
        takes V(absent) back. A disabled user of the host has a locked password and has expired, so that no ssh key
        opens it either; mail to the user still arrives.
      - V(absent) disables an account that is not in the inventory, and notes that it may be deleted after
        C(mail_accounts_grace_days). It is not for users of the host.
      - V(password) sets a new, generated password.
      - V(purged) deletes accounts, and their mail, whose days of grace are over. It is not for users of the host.
    type: str
    choices: [listed, present, enabled, disabled, absent, password, purged]
    default: listed
  name:
    description: Display name; with O(state=present).
    type: str
  quota:
    description:
      - Limit of the mailbox, such as V(500M); V(0) for none. With O(state=present).
      - This option, O(aliases), O(forward) and O(keep_copy) are for accounts in the directory.
    type: str
  aliases:
    description: Further addresses of the mailbox, all of them; with O(state=present).
    type: list
    elements: str
  forward:
    description: Addresses that get its mail, all of them; with O(state=present).
    type: list
    elements: str
  keep_copy:
    description: Whether forwarded mail is also kept in the mailbox; with O(state=present).
    type: bool
  left:
    description:
      - What the task on the accounts' host has left to the host of the mailboxes, as it returned it. On that host it
        is done, and nothing else.
    type: dict
  gone:
    description: Accounts whose mail has been deleted on another host; with O(state=purged).
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: List all accounts
  postamt.mail.account:

- name: Add an account that is not in the inventory
  postamt.mail.account:
    account: dora@example.org
    state: present
    quota: 2G

- name: Set a new password
  postamt.mail.account:
    account: dora@example.org
    state: password
"""

RETURN = r"""
accounts:
  description:
    - The accounts, afterwards. C(source) is V(inventory), V(left the inventory) or V(by hand).
    - C(aliases) and C(forward) are other addresses than the account's own; C(quota) is its own, or empty.
    - C(dn) is the account's entry in the directory, C(user) the user of the host; the other one is empty. Both are
      empty for an account whose user is not there yet.
    - C(delete_from) is the day from which the account may be deleted, or empty.
  returned: on the host where accounts are changed
  type: list
  elements: dict
  sample:
    - address: dora@example.org
      dn: uid=8a1f20c3d4e5f607,ou=accounts,o=mail
      user: ""
      enabled: true
      aliases: [d@example.org]
      forward: []
      quota: 2G
      source: by hand
      delete_from: ""
left:
  description:
    - What is to be done where the mailboxes are, if that is another host. C(kick) names accounts whose sessions end,
      C(delete) the folders of mailboxes by account; C(maildir) is C(mail_maildir), by which further folders lie.
  returned: on the host where accounts are changed
  type: dict
  sample: {}
actions:
  description: What was done, in short sentences; in check mode what would be done.
  returned: on the host where accounts are changed
  type: list
  elements: str
"""
