# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a program is: each file of _programs/ says it in PROGRAM, and no other file names the program.

compose.py, the run and the hosts read it here; `make generate` writes from it what Ansible's conventions want besides.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Mapping

_FOR_HOST = ("title", "checker", "last", "restarts", "reads_folders", "patience", "age")


@dataclasses.dataclass(frozen=True)
class Workers:
    """Processes that take further clients with the certificate that they read when they started.

    pid_file: that of their parent. names: as in proc(5).
    """

    pid_file: str
    names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Program:
    """What has to be known of a program, beside what a plan wants of it.

    For the engine on a host, to which the plan carries it:
    title: as in sentences. checker: the command that checks a new configuration, empty where there is none; without
    it nothing can be checked yet. last: files that make the others take effect; they are swapped last, in this order.
    restarts: whether any change of a file needs a restart. reads_folders: whether the program uses whatever files lie
    in a folder, so that a removed one means a reload. patience: seconds after which it should answer once it was
    started. age: seconds by which the modification time of its files is set back.

    Of a program that shows certificates, reload: the command that has it read them again, connections being kept;
    workers: its processes that have to be younger than the certificates, where there are such.

    For a run over the site:
    order: of its task; whom others ask comes before them, and goes after them. 10 to 30 are what hosts reach each other
    by, 40 is accounts, 50 and 60 ask them, 70 to 85 is asked by Postfix, which has 90. takes_mail: whether what others
    bring it stays with it. Then a run stops it before the others are changed: what waits meanwhile finds its new place.
    configuration: a path that is there where somebody has configured the program. versions: the names of its packages
    by which plans go, with the name in `host.version()`. mail_server: whether what another mail server does is its to
    take over. expires: whether what a run brought may have to be renewed though nobody has changed it. stays: what is
    left on a host when the collection goes, with its path. goes_on_without: what mail waits for where the host cannot
    get it from elsewhere: the run goes on, and fails at its end.

    For documentation, in Ansible's markup (tools/generate.py; a file _programs/<name>.md may say more):
    about: what it is for, as a headline; also the name of its task, where `task` is empty. description: what its role
    does, in sentences. options: the program's own variables, such as <name>_settings, and what they take.
    """

    title: str
    checker: str = ""
    last: tuple[str, ...] = ()
    restarts: bool = False
    reads_folders: bool = False
    patience: float = 5.0
    age: float = 0.0
    reload: tuple[str, ...] = ()
    workers: Workers | None = None

    order: int = 85
    takes_mail: bool = False
    configuration: str = ""
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    mail_server: bool = False
    expires: bool = False
    stays: Mapping[str, str] = dataclasses.field(default_factory=dict)
    goes_on_without: str = ""

    about: str = ""
    task: str = ""
    description: tuple[str, ...] = ()
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def for_host(self, name: str) -> dict[str, t.Any]:
        """Return what the engine on a host needs, as plain data; name: of the program's file, as in paths."""
        workers = {**dataclasses.asdict(self.workers), "names": list(self.workers.names)} if self.workers else {}
        lists = {"last": list(self.last), "reload": list(self.reload)}
        return {"name": name, **{word: getattr(self, word) for word in _FOR_HOST}, **lists, "workers": workers}
