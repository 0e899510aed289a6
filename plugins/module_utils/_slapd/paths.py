# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where slapd and this collection keep what is slapd's."""

from __future__ import annotations

import os

from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import STATE

SOCKET = "/run/slapd/ldapi"
PID_FILE = "/run/slapd/slapd.pid"
CONFIG = "/etc/ldap/slapd.d"
DEFAULTS = "/etc/default/slapd"
USER = "openldap"
RECORD = os.path.join(STATE, "ldap", "applied.json")  # what the last run applied
