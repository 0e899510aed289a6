# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dovecot: what a concern may contribute, and the two languages (2.3, 2.4) in which it becomes dovecot.conf."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils.compose import (
    ComposeError,
    Contributions,
    tree_merge,
    united,
)
from ansible_collections.postamt.mail.plugins.plugin_utils.plan import (
    Directory,
    File,
    Plan,
    Question,
    Unit,
    User,
    make_plan,
)
from ansible_collections.postamt.mail.plugins.plugin_utils.site import Host, Site

Leaf = str | int | bool
Tree = Mapping[str, t.Any]

FOLDER = "/etc/dovecot"
MAIN = f"{FOLDER}/dovecot.conf"
HEAD = "# Written by postamt.mail; change the site's variables instead."


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
    questions: Iterable[Question] = ()
    watch: Iterable[str] = ()
    secrets: Iterable[str] = ()


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of Dovecot for one host."""
    wanted = host.does("mail_store")
    new = host.version("dovecot") >= (2, 4)
    trees = [(name, part.trunk) for name, part in parts] + [
        (name, part.v24 if new else part.v23) for name, part in parts
    ]
    tree = tree_merge(trees, "Dovecot setting")
    protocols = united(parts, "protocols")
    plugins: dict[str, set[str]] = {}
    for _concern, part in parts:
        for protocol, names in part.plugins.items():
            plugins.setdefault(protocol, set()).update(names)
    tree = with_user_settings(add_plugins(tree, protocols, plugins, new), overrides.get("settings") or {}, new)
    if not wanted:
        return make_plan(wanted=False, packages=[], units=[Unit("dovecot.service", running=False)])
    return make_plan(
        packages={"dovecot-core", *united(parts, "packages")},
        users=[user for _concern, part in parts for user in part.users],
        directories=[folder for _concern, part in parts for folder in part.directories],
        files=[
            *(file for _concern, part in parts for file in part.files),
            # It holds the password by which the directory is asked.
            File(MAIN, dovecot_conf(tree, new), "0600"),
        ],
        units=[Unit("dovecot.service")],
        watch=united(parts, "watch"),
        questions=[question for _concern, part in parts for question in part.questions],
        secrets=[secret for _concern, part in parts for secret in part.secrets],
    )


def add_plugins(
    tree: dict[str, t.Any], protocols: list[str], plugins: Mapping[str, set[str]], new: bool
) -> dict[str, t.Any]:
    """Return the tree with its protocols and, for each, its plugins.

    2.4 merges lists of names; 2.3 expands text where it stands, so that each protocol gets its whole list.
    """
    everywhere = plugins.get("", set())
    lists: dict[str, t.Any]
    blocks: dict[str, t.Any]
    if new:
        lists = {"protocols": dict.fromkeys(protocols, True)}
        if everywhere:
            lists["mail_plugins"] = dict.fromkeys(sorted(everywhere), True)
        blocks = {
            f"protocol {protocol}": {"mail_plugins": dict.fromkeys(sorted(names), True)}
            for protocol, names in sorted(plugins.items())
            if protocol
        }
    else:
        lists = {"protocols": " ".join(protocols), "mail_plugins": " ".join(sorted(everywhere))}
        blocks = {
            f"protocol {protocol}": {"mail_plugins": " ".join(sorted(everywhere | names))}
            for protocol, names in sorted(plugins.items())
            if protocol
        }
    return tree_merge([("plugins", lists), ("concerns", tree), ("plugins", blocks)], "Dovecot setting")


def with_user_settings(tree: dict[str, t.Any], given: Tree, new: bool) -> dict[str, t.Any]:
    """Return the tree with the user's own settings on top; null removes a setting or a block."""
    result = dict(tree)
    for key, value in given.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            inner = result.get(key)
            result[key] = with_user_settings(inner if isinstance(inner, dict) else {}, value, new)
        else:
            # 2.4 takes both for plain text, without a word
            if new and re.search(r"%[a-zA-Z]|\0+", str(value)) and not str(value).startswith("%{"):
                raise ComposeError(
                    f"dovecot_settings: {key} is {value!r}: Dovecot 2.4 has %{{user}} and no %u, no $name"
                )
            result[key] = value
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
    text = str(value)
    if "#" in text or text != text.strip():
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text
