# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts between two runs: check what was asked, have the directory's host do it, and show a new password once.

What belongs to mailboxes is done where they are. Where that is another host, the task on the directory's host says what
is left (`left`), and a second task, on the other host, gets to do that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.accounts import accounts
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.store import mailboxes
from ansible_collections.postamt.mail.plugins.plugin_utils._model.account_rules import circles, postmaster_is_off
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import (
    Address,
    Login,
    Problem,
    SiteError,
    Size,
    nearest,
    parse,
    parse_fields,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import VMAIL_HOME, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import Account, domain_of
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import ldap
from ansible_collections.postamt.mail.plugins.plugin_utils._run import inventory, remote
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import StateError, state_of

Result = dict[str, t.Any]
STATES = ("listed", "present", "enabled", "disabled", "absent", "password", "purged")
READ = ("account", "state", "display_name", "quota", "aliases", "forward", "keep_copy")  # by the playbooks, from -e


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the task says, typed; None where it says nothing."""

    state: t.Literal["listed", "present", "enabled", "disabled", "absent", "password", "purged"]
    account: Address | None = None
    name: str | None = None
    quota: Size | None = None
    aliases: list[Login] | None = None
    forward: list[Address] | None = None
    keep_copy: bool | None = None

    @property
    def said(self) -> Result:
        """What is said of the account."""
        given = {name: getattr(self, name) for name in ("name", "quota", "aliases", "forward", "keep_copy")}
        return {name: value for name, value in given.items() if value is not None}


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: Result | None = None) -> Result:
        result: Result = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        spec: Result = {name: {"type": "str"} for name in ("account", "name", "quota")}
        spec.update({name: {"type": "list", "elements": "str"} for name in ("aliases", "forward")})
        spec["keep_copy"] = {"type": "bool"}
        spec["left"] = {"type": "dict"}
        spec["gone"] = {"type": "list", "elements": "str"}
        spec["state"] = {"type": "str", "choices": list(STATES), "default": "listed"}
        _validated, given = self.validate_argument_spec(spec)
        try:
            return {**result, **self._answer({name: value for name, value in given.items() if value is not None})}
        except SiteError as error:  # the head speaks of variables
            return {**result, "failed": True, "msg": "\n".join(map(str, error.problems))}
        except (ComposeError, StateError) as error:
            return {**result, "failed": True, "msg": str(error)}

    def _answer(self, given: Result) -> Result:
        if wrong := inventory.from_facts(self._vars, self._vars["groups"].get(remote.GROUP, ()), READ):
            raise SiteError(wrong)
        left, self._gone = given.pop("left", None), given.pop("gone", None)
        if left is not None:
            answer = remote.on_host(
                self, self._vars, "accounts", {"state": "left", "left": left, "mailboxes": VMAIL_HOME}
            )
            for text in answer.get("actions") or ():
                self._say(text)
            return answer
        problems: list[Problem] = []
        asked = parse_fields(Asked, given, "", problems, prefix="")
        if problems:
            raise SiteError(problems)
        site = inventory.site_for(self, self._vars, keep=False)
        problems = list(check(site, asked))
        if problems:
            raise SiteError(problems)
        self._here = site.hosts[remote.place_of(self, self._vars)]
        if self._here != site.provider:
            return {"changed": False, "skipped": True, "skip_reason": "the directory is on another host"}
        kept = asked.state == "password" and keeps(site, str(asked.account))
        state = state_of(self, site)
        with contextlib.ExitStack() as stack:
            if kept and not self._task.check_mode:
                stack.enter_context(state.locked())
                state.known_secrets()  # what cannot be read or decrypted is said before anything is changed
            password = secrets.token_urlsafe(18) if asked.state in ("present", "password") else ""
            answer = self._on_host(site, asked, password, kept)
            left = allowed(asked, answer.get("left", {}))
            answer = {**answer, "left": {**left, "maildir": _maildir(site)} if "delete" in left else left}
            done = not answer.get("failed") and not self._task.check_mode
            if done and kept:
                state.set_secrets({str(asked.account): password})
            if done and (gone := forgotten(site, answer.get("deleted") or ()) & set(state.known_secrets())):
                state.set_secrets(dict.fromkeys(gone))  # who has the address next gets a password of their own
        self._tell(answer, asked.state == "listed")
        if done and answer.get("password_set"):  # on the screen alone: in no result, and in no log file
            self._say(f"the new password of {asked.account} is {password}", screen_only=True)
        return answer

    def _on_host(self, site: Site, asked: Asked, password: str, kept: bool) -> Result:
        key = site.secrets.get("fingerprint-key")
        request = {
            "entries": ldap.entries(site, {}),
            "state": asked.state,
            "account": asked.account,
            "said": asked.said,
            "password": password,
            "fingerprint": ldap.fingerprint(key, "clear", str(asked.account), password) if kept else "",
            "grace_days": site.core.mail_accounts_grace_days,
            "mailboxes": VMAIL_HOME,
            "maildir": _maildir(site),
            "stores": [store.name for store in site.hosts_with("mail_store")],
            "followed": site.has_replicas,
            "here": self._here.does("mail_store"),
            "gone": self._gone,
        }
        return remote.on_host(self, self._vars, "accounts", request, [password] if password else [])

    def _tell(self, answer: Result, listing: bool = False) -> None:
        if listing:
            for account in answer.get("accounts") or []:
                self._say(line(account))
            return
        note = [answer["note"]] if answer.get("note") else []
        said = [*(answer.get("actions") or []), *note]
        for text in said or ([] if answer.get("failed") or answer.get("left") else ["nothing to do"]):
            self._say(text)

    def _say(self, text: str, **how: bool) -> None:
        self._display.display(f"{remote.place_of(self, self._vars)}: {text}", **how)


def _maildir(site: Site) -> str:
    return str(site.of(mailboxes.Variables).mail_maildir)


def allowed(asked: Asked, left: Result) -> Result:
    """Return what may be left to another host: of what this one says, what goes with what was asked for."""
    found: Result = {}
    if left.get("kick") and asked.account:
        found["kick"] = [str(asked.account)]
    if left.get("delete") and asked.state == "purged":
        found["delete"] = left["delete"]
    return found


def line(account: Result) -> str:
    """Return an account of the list in one line."""
    words = [account["address"], "enabled" if account["enabled"] else "disabled", account["source"]]
    words += [f"aliases {', '.join(account['aliases'])}"] if account["aliases"] else []
    words += [f"forwards to {', '.join(account['forward'])}"] if account["forward"] else []
    words += [f"quota {account['quota']}"] if account["quota"] else []
    words.append(account["dn"])
    words += [f"may be deleted from {account['delete_from']} on"] if account["delete_from"] else []
    return "  ".join(words)


def forgotten(site: Site, deleted: t.Iterable[str]) -> set[str]:
    """Return the accounts whose passwords go with them: no word of the directory's host makes another one forgotten."""
    return {name for name in deleted if "@" in name} - {account.address for account in site.accounts}


def keeps(site: Site, address: str) -> bool:
    """Tell whether an account's password is a generated one that the controller keeps."""
    account = next((one for one in site.accounts if one.address == address), None)
    return not (account.password or account.password_hash) if account else address in site.secrets.known


def check(site: Site, asked: Asked) -> t.Iterator[Problem]:
    """Yield why what was asked cannot be."""
    if not site.lookups.directory:
        said = site.of(accounts.Variables).mail_accounts_backend
        yield Problem("mail_accounts_backend", said, site.lookups.changed_by)
        return
    if asked.state in ("listed", "purged"):
        if asked.account:
            yield Problem("state", asked.state, "goes for all accounts: leave account out, or name another state")
        return
    if not asked.account:
        yield Problem("account", None, "must name an account: -e account=ADDRESS")
        return
    owners = {address: account for account in site.accounts for address in (account.address, *account.aliases)}
    listed = owners.get(asked.account)
    mine = listed is not None and listed.address == asked.account
    for name in asked.said if asked.state != "present" else ():
        yield Problem(name, None, "can be said with state=present only")
    if asked.state == "present":
        yield from _present(site, asked, set(owners) | set(site.all_aliases), mine)
    elif asked.state == "absent" and mine:
        yield Problem(
            "account", asked.account, "is in the inventory: take it out there and run postamt.mail.site first"
        )
    elif asked.state == "disabled" and mine and postmaster_is_off(site, asked.account):
        yield Problem(
            "account", asked.account, "reads mail to root and postmaster: let mail_postmaster name another one"
        )
    elif asked.state == "enabled" and listed and mine and not listed.enabled:
        yield Problem("account", asked.account, "is disabled in the inventory: take enabled: false out there")
    elif asked.state == "enabled" and not mine and site.core.mail_accounts_exclusive:
        yield Problem("account", asked.account, _EXCLUSIVE)


_EXCLUSIVE = "is not in the inventory, which alone decides here (mail_accounts_exclusive): add it to mail_accounts"


def _present(site: Site, asked: Asked, known: set[str], mine: bool) -> t.Iterator[Problem]:
    if mine:
        yield Problem("account", asked.account, "is in the inventory: change it there and run postamt.mail.site")
        return
    if site.core.mail_accounts_exclusive:
        yield Problem("account", asked.account, _EXCLUSIVE)
    problems: list[Problem] = []
    login = parse(Login, asked.account, "account", problems)
    yield from problems
    if login and asked.forward:
        new = Account(login, forward=asked.forward, aliases=asked.aliases or [], keep_copy=bool(asked.keep_copy))
        for problem in circles([*site.accounts, new], site.all_aliases):
            yield dataclasses.replace(problem, where="forward")
    for where, address in [("account", str(asked.account)), *(("aliases", alias) for alias in asked.aliases or [])]:
        if domain_of(address) not in site.domains:
            hint = nearest(domain_of(address), site.domains)
            yield Problem(where, address, f"must be in one of mail_domains ({', '.join(site.domains)}){hint}")
        elif address in known:
            yield Problem(where, address, "is taken already by an account or alias of the inventory")
    if asked.quota is not None and asked.quota % 1024:
        yield Problem("quota", asked.quota, "must be a multiple of 1024 bytes, such as 500K")
