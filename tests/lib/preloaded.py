"""Runs ansible-playbook in forks of a process that has imported it: that takes a third of the time of a short run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType

FREE = ("PACKED_FOLDER", "PYTEST_CURRENT_TEST", "RECORDER_FILE")  # what nobody reads when it is imported


class Preloaded:
    """ansible-playbook in one environment but for what is FREE, for any number of runs, one at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._fixed = _fixed(environment)
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Preloaded:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()  # it ends with its input

    def run(self, arguments: list[str], environment: Mapping[str, str], output: str) -> int:
        """Run with these arguments; what is printed goes to the file output. Returns the exit code.

        In another environment, the run is a process of its own.
        """
        if _fixed(environment) != self._fixed:
            with open(output, "wb") as file:
                return subprocess.call(
                    ["ansible-playbook", *arguments], env=environment, stdout=file, stderr=subprocess.STDOUT
                )
        assert self._process.stdin and self._process.stdout
        order = {"arguments": arguments, "environment": dict(environment), "output": output}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _fixed(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in FREE}


def _serve() -> None:
    """Fork for each order that comes in a line, and print how the run has ended."""
    from ansible.cli.playbook import PlaybookCLI
    from ansible.plugins.loader import action_loader, connection_loader, init_plugin_loader, strategy_loader

    init_plugin_loader()
    for action in ("site", "host_look", "apply_plan", "compare"):
        action_loader.get(f"postamt.mail.{action}", class_only=True)
    connection_loader.get("ssh", class_only=True)
    strategy_loader.get("linear", class_only=True)
    for line in sys.stdin:
        order = json.loads(line)
        if (child := os.fork()) == 0:
            _become(order["environment"], order["output"])
            PlaybookCLI.cli_executor(["ansible-playbook", *order["arguments"]])
            sys.exit()  # which the line before does too
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(environment: Mapping[str, str], output: str) -> None:
    """Have in this fork what a process of its own has: environment, files, a temporary folder."""
    import atexit
    import tempfile
    import warnings

    from ansible import constants
    from ansible.utils.path import cleanup_tmp_file

    atexit._clear()  # what is to be removed is the other process's
    os.environ.clear()
    os.environ.update(environment)
    nothing = os.open(os.devnull, os.O_RDONLY)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor, source in enumerate((nothing, file, file)):
        os.dup2(source, descriptor)
    constants.DEFAULT_LOCAL_TMP = tempfile.mkdtemp(
        prefix="ansible-local-", dir=os.path.dirname(constants.DEFAULT_LOCAL_TMP)
    )
    atexit.register(cleanup_tmp_file, constants.DEFAULT_LOCAL_TMP, warn=True)
    warnings.filterwarnings("ignore", "AnsibleCollectionFinder has already been configured")


if __name__ == "__main__":
    _serve()
