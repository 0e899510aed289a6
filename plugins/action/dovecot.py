# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._run.program_action import ProgramAction


class ActionModule(ProgramAction):
    program = "dovecot"
