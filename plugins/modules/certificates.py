#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: certificates
short_description: Give a host its keys and certificates
version_added: 0.1.0
description:
  - Brings the certificates of the site about on a host, from C(mail_certificates) and what else the site's variables
    say.
  - Keys are made on the host and never leave it. The controller signs with the site's own CA, or brings files that the
    user supplies, checked before anything is changed.
  - A certificate is issued anew before it expires, and when its names, its key's type or the CA change. The key is
    kept, unless its type changes.
  - Used as a task it takes no options, since its action plugin derives them.
author: the postamt.mail authors (@postamt)
options:
  state:
    description:
      - V(seen) returns what is there and changes nothing.
      - V(requested) makes missing keys and returns signing requests.
      - V(installed) serves chains with their keys.
    type: str
    choices: [seen, requested, installed]
    default: seen
  folder:
    description: Where certificates lie.
    type: path
    default: /etc/postamt/tls
  packages:
    description: Packages that have to be there; the module does nothing where one is missing.
    type: list
    elements: str
    default: []
  ca:
    description: Certificate of the site's CA, in PEM.
    type: str
    default: ''
  certificates:
    description: What is requested or installed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the certificate.
        type: str
        required: true
      key_type:
        description: Type of the key.
        type: str
        choices: [ec, rsa]
      chain:
        description: The certificate and its intermediate certificates, in PEM.
        type: str
      key:
        description: The private key in PEM where the user supplies it.
        type: str
  removed:
    description: Names of certificates that the site no longer has.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Can run in check mode and predicts what it would do.
    support: full
  diff_mode:
    description: Shows names, issuer, kind of key and expiry of each certificate, never key material.
    support: full
"""

EXAMPLES = r"""
- name: Keys and certificates
  postamt.mail.certificates:
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode, one short sentence each.
  returned: success
  type: list
  elements: str
  sample: ["issued certificate public for mail.example.org, since there is none"]
"""

import grp

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils.certificates import CertificateError, Store

GROUP = "ssl-cert"


def missing(module, packages):
    """Return those of packages that dpkg does not call installed."""
    if not packages:
        return []
    asked = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages]
    lines = module.run_command(asked)[1].splitlines()
    return [package for package in packages if f"{package} installed" not in lines]


def main():
    certificate = {
        "name": {"type": "str", "required": True},
        "key_type": {"type": "str", "choices": ["ec", "rsa"]},
        "chain": {"type": "str"},
        "key": {"type": "str", "no_log": True},
    }
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["seen", "requested", "installed"], "default": "seen"},
            "folder": {"type": "path", "default": "/etc/postamt/tls"},
            "packages": {"type": "list", "elements": "str", "default": []},
            "ca": {"type": "str", "default": ""},
            "certificates": {"type": "list", "elements": "dict", "options": certificate, "default": []},
            "removed": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    lacking = missing(module, given["packages"])
    try:
        gid = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        gid = -1
        lacking = lacking or ["ssl-cert"]
    store = Store(given["folder"], gid, module.run_command)
    result = {"changed": False, "missing": {"packages": lacking, "users": []}}
    try:
        if given["state"] == "seen":
            result.update(store.seen())
        elif lacking:
            module.fail_json(msg="missing packages: " + ", ".join(lacking))
        elif module.check_mode:
            result["changed"] = True
        elif given["state"] == "requested":
            result["requests"] = store.requested(given["certificates"])
        else:
            store.installed(given["ca"], given["certificates"], given["removed"])
            result["changed"] = True
    except CertificateError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or given['folder']}: {error.strerror}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
