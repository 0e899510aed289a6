# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Zone files, and what else goes into the folder mail_zone_dir."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError


def write(folder: str, files: Mapping[str, str]) -> None:
    """Write files by name; the folder is made. Each file is replaced at once: a name server may read it any time."""
    folder = os.path.expanduser(folder)
    try:
        os.makedirs(folder, exist_ok=True)
        for name, text in files.items():
            _replace(os.path.realpath(os.path.join(folder, name)), text)
    except OSError as error:
        allowed = f"must be a folder that can be written: {error.strerror}"
        raise SiteError([Problem("mail_zone_dir", folder, allowed)]) from None


def _replace(path: str, text: str) -> None:
    staged = os.path.join(os.path.dirname(path), f".new-{os.getpid()}")
    try:
        with open(staged, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(path, staged)
        os.rename(staged, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staged)
        raise
