"""Lets runs of one session share the modules that Ansible packs for the hosts, as the hosts of one run share them."""

from __future__ import annotations

import os

from ansible import constants
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: packed
type: aggregate
short_description: Packs modules once for all runs of the tests
description:
  - Ansible packs a module with all that it imports once a run, which takes as long as the run's start.
  - Packs into the folder that the environment variable PACKED_FOLDER names, and takes from there what it finds.
requirements: []
"""


class CallbackModule(CallbackBase):
    """Nothing is printed: the usual output stays as it is."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "packed"

    def __init__(self) -> None:
        super().__init__()
        os.symlink(os.environ["PACKED_FOLDER"], os.path.join(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache"))
