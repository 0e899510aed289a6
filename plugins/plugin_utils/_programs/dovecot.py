# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dovecot: what a concern may contribute, and the two languages (2.3, 2.4) in which it becomes dovecot.conf."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.module_utils._programs.dovecot import Mailboxes, mailboxes_by
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    SECRET,
    ComposeError,
    ConcernError,
    Contributions,
    agreed,
    every,
    files_of,
    tree_merge,
    united,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import (
    HEAD,
    Directory,
    File,
    HealthCheck,
    Plan,
    Unit,
    User,
    make_plan,
    shown_at,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import _dovecot_names as names

Leaf = str | int | bool | list[t.Any]
Tree = Mapping[str, t.Any]

FOLDER = "/etc/dovecot"
MAIN = f"{FOLDER}/dovecot.conf"
PROGRAM = Program(
    title="Dovecot",
    checker="/usr/bin/doveconf",
    last=(MAIN,),
    age=5.0,  # a Sieve script must be older than what sievec made of it
    reload=("systemctl", "reload", "dovecot.service"),
    order=60,
    takes_mail=True,
    configuration=MAIN,
    versions={"dovecot-core": "dovecot"},
    stays={"mailboxes of the directory's accounts": "/var/vmail"},
    about="Mailboxes, IMAP, POP3, ManageSieve and LMTP (Dovecot)",
    task="Mailboxes",
    options={
        "settings": "Settings of C(dovecot.conf) as a tree; a block is a mapping under its name, such as "
        "V(service lmtp)."
    },
)


@dataclasses.dataclass(frozen=True)
class Dovecot:
    """What one concern contributes.

    trunk: settings whose names and meaning both versions share; v23 and v24: what only one of them has. A block is a
    mapping under its name as written; what follows a # in a name only tells blocks of one name apart (2.3's passdb).
    plugins: names of plugins by protocol, "" for all. plugin: 2.3's settings of plugins, which it keeps apart.
    """

    trunk: Tree = dataclasses.field(default_factory=dict)
    v23: Tree = dataclasses.field(default_factory=dict)
    v24: Tree = dataclasses.field(default_factory=dict)
    plugins: Mapping[str, Iterable[str]] = dataclasses.field(default_factory=dict)
    protocols: Iterable[str] = ()
    files: Iterable[File] = ()
    directories: Iterable[Directory] = ()
    users: Iterable[User] = ()
    packages: Iterable[str] = ()
    checks: Iterable[HealthCheck] = ()
    watch: Iterable[str] = ()
    secrets: Iterable[str] = ()


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of Dovecot for one host."""
    version = host.version("dovecot")
    new = version >= (2, 4)
    given = overrides.get("settings") or {}
    problems = list(names.problems(version, given))
    if problems:
        raise ComposeError(*problems)
    if not parts:
        return make_plan(enabled=False, packages=[], units=[Unit("dovecot.service", running=False)])
    tree = configuration(parts, new, given)
    checks = every(parts, "checks")
    chain = str(tree.get("ssl_server_cert_file") or tree.get("ssl_cert") or "").removeprefix("<")
    return make_plan(
        packages={"dovecot-core", *united(parts, "packages")},
        users=agreed(parts, "users", "name"),
        directories=agreed(parts, "directories", "path"),
        files=[
            *files_of(parts, "Dovecot file"),
            # It holds the password by which the directory is asked.
            File(MAIN, dovecot_conf(tree, new), "0600"),
        ],
        units=[Unit("dovecot.service")],
        watch=united(parts, "watch"),
        serves=shown_at(checks, [chain]),
        checks=checks,
        secrets=[*every(parts, "secrets"), *_secrets_of(given)],
        mailboxes=dataclasses.asdict(_mailboxes(tree)),
        opens=[*_opened(tree)],
    )


def configuration(parts: Contributions, new: bool, given: Tree) -> dict[str, t.Any]:
    """Return what dovecot.conf says, the user's own included; new: whether it is 2.4's."""
    trees = [(name, part.trunk) for name, part in parts]
    trees += [(name, part.v24 if new else part.v23) for name, part in parts]
    trees += [(name, _plugin_tree(part.plugins, part.protocols)) for name, part in parts]
    _refuse_second_askers(trees)
    tree = with_user_settings(tree_merge(trees, "Dovecot setting"), given)
    return tree if new else _in_old_words(tree)


def _refuse_second_askers(trees: Iterable[tuple[str, Tree]]) -> None:
    """Refuse logins or mailboxes that two concerns look up: Dovecot asks in the order in which its file says so."""
    found: dict[str, set[str]] = {"passdb": set(), "userdb": set()}
    for concern, tree in trees:
        for key in tree:
            found.get(re.split("[ #]", key)[0], set()).add(concern)
    for kind, owners in found.items():
        if len(owners) > 1:
            raise ConcernError(
                f"Dovecot setting {kind}: concerns {', '.join(sorted(owners))} bring blocks with no order"
            )


def _plugin_tree(plugins: Mapping[str, Iterable[str]], protocols: Iterable[str]) -> dict[str, t.Any]:
    """Return protocols and plugins as 2.4 writes them: lists that merge, wherever they stand."""
    tree: dict[str, t.Any] = {"protocols": dict.fromkeys(protocols, True)}
    for protocol, some in plugins.items():
        block = tree.setdefault(f"protocol {protocol}", {}) if protocol else tree
        block["mail_plugins"] = dict.fromkeys(some, True)
    return tree


def with_user_settings(tree: Tree, given: Tree) -> dict[str, t.Any]:
    """Return the tree with the user's own settings on top; null removes a setting or a block."""
    result = dict(tree)
    for key, value in given.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            inner = result.get(key)
            result[key] = with_user_settings(inner if isinstance(inner, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def _mailboxes(tree: Tree) -> Mailboxes:
    """Return where mail will lie, for the host that compares it with where it lies."""
    leaves = {key: value for key, value in tree.items() if not isinstance(value, Mapping)}
    said = {key: _text(value) for key, value in leaves.items() if key.startswith("mail")}
    inbox = tree.get("namespace inbox") or {}
    users = ((key.partition("#")[0], block) for key, block in tree.items() if re.match(r"userdb\b", key))
    drivers = [
        str(block.get("driver") or name.removeprefix("userdb").strip())
        for name, block in users
        # One that only says who may go on to the next is nobody's home.
        if block.get("result_success") != "continue"
    ]
    return mailboxes_by(said, str(inbox.get("separator") or ""), drivers)


def _opened(tree: Tree) -> t.Iterator[str]:
    """Yield the files of certificates and keys that Dovecot opens at its start."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _opened(value)
        elif re.fullmatch(r"ssl_(server_)?(cert|key)(_file)?", key) and (path := str(value).removeprefix("<")):
            yield path


def _secrets_of(tree: Tree) -> t.Iterator[str]:
    """Yield the values that nobody may see, going by the names of their settings."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _secrets_of(value)
        elif value and SECRET.search(key):
            yield str(value)


def _in_old_words(tree: Tree) -> dict[str, t.Any]:
    """Return the tree with lists of names as 2.3 has them: text, and whole in each protocol, since nothing merges."""

    def chosen(block: Tree, key: str) -> dict[str, t.Any]:
        value = block.get(key)
        return dict(value) if isinstance(value, Mapping) else dict.fromkeys(str(value or "").split(), True)

    def text(items: Tree) -> str:
        return " ".join(sorted(name for name, on in items.items() if on))

    everywhere = chosen(tree, "mail_plugins")
    result = {**tree, "protocols": text(chosen(tree, "protocols")), "mail_plugins": text(everywhere)}
    for key, value in tree.items():
        if key.startswith("protocol ") and isinstance(value.get("mail_plugins"), Mapping):
            result[key] = {**value, "mail_plugins": text({**everywhere, **value["mail_plugins"]})}
    return result


def dovecot_conf(tree: Tree, new: bool) -> str:
    """Return dovecot.conf: globals before blocks, which both versions take without a warning."""
    lines = [HEAD]
    if new:
        # The storage version of the older release keeps mailboxes readable there.
        lines = ["dovecot_config_version = 2.4.1", "dovecot_storage_version = 2.3.19", HEAD]
    return "\n".join([*lines, *_printed(tree, ""), ""])


def _printed(tree: Tree, indent: str) -> t.Iterator[str]:
    leaves = {key: value for key, value in tree.items() if not isinstance(value, Mapping)}
    for key, value in sorted(leaves.items()):
        yield f"{indent}{key} = {_text(value)}".rstrip()
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield f"{indent}{key.partition('#')[0]} {{"
            yield from _printed(value, indent + "  ")
            yield f"{indent}}}"


def _text(value: Leaf) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    if "#" in text or text != text.strip():
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text
