# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts between two runs: check what was asked, have the site's store do it, and show a new password once.

Where accounts live is the store's matter (site.lookups.store). What belongs to mailboxes is done where they are. Where
that is another host, the task on the store's host says what is left (`left`), and a second task, on the other host,
gets to do that.
"""

from __future__ import annotations

import contextlib
import secrets
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.accounts import accounts
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.store import mailboxes
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.store import STATES, AccountStore, Asked, Result
from ansible_collections.postamt.mail.plugins.plugin_utils._model.account_rules import postmaster_is_off
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError, parse_fields
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import VMAIL_HOME, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run import inventory, remote
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import StateError, state_of

READ = ("account", "state", "display_name", "quota", "aliases", "forward", "keep_copy")  # by the playbooks, from -e


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
        store = t.cast(AccountStore, site.lookups.store)  # check() has made sure
        here = site.hosts[remote.place_of(self, self._vars)]
        if here != store.place(site):
            return {"changed": False, "skipped": True, "skip_reason": "accounts are changed on another host"}
        kept = asked.state == "password" and store.keeps(site, str(asked.account))
        state = state_of(self, site)
        with contextlib.ExitStack() as stack:
            if kept and not self._task.check_mode:
                stack.enter_context(state.locked())
                state.known_secrets()  # what cannot be read or decrypted is said before anything is changed
            password = secrets.token_urlsafe(18) if asked.state in ("present", "password") else ""
            request = {
                "state": asked.state,
                "account": asked.account,
                "said": asked.said,
                "password": password,
                "mailboxes": VMAIL_HOME,
                "maildir": _maildir(site),
                "stores": [host.name for host in site.hosts_with("mail_store")],
                "here": here.has("mail_store"),
                "gone": self._gone,
                **store.request(site, asked, password),
            }
            hidden = [password] if password else []
            answer = store.execute(lambda said: remote.on_host(self, self._vars, "accounts", said, hidden), request)
            left = allowed(asked, answer.get("left", {}))
            answer = {**answer, "left": {**left, "maildir": _maildir(site)} if "delete" in left else left}
            done = not answer.get("failed") and not self._task.check_mode
            if done and kept:
                state.set_secrets({str(asked.account): password})
            if done and (gone := store.forgotten(site, answer.get("deleted") or ()) & set(state.known_secrets())):
                state.set_secrets(dict.fromkeys(gone))  # who has the address next gets a password of their own
        self._tell(answer, asked.state == "listed")
        if done and answer.get("password_set"):  # on the screen alone: in no result, and in no log file
            self._say(f"the new password of {asked.account} is {password}", screen_only=True)
        return answer

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
    user = f"user {account['user']}" if account.get("user") else "not there yet"
    words.append(account["dn"] or user)
    words += [f"may be deleted from {account['delete_from']} on"] if account["delete_from"] else []
    return "  ".join(words)


def check(site: Site, asked: Asked) -> t.Iterator[Problem]:
    """Yield why what was asked cannot be: what holds wherever accounts live, then what the store says."""
    store = site.lookups.store
    if store is None:
        said = site.of(accounts.Variables).mail_accounts_backend
        yield Problem("mail_accounts_backend", said, site.lookups.changed_by)
        return
    everybody = asked.state in ("listed", "purged")
    if everybody and asked.account:
        yield Problem("state", asked.state, "works on all accounts: leave account out, or name another state")
        return
    if not everybody and not asked.account:
        yield Problem("account", None, "must name an account: -e account=ADDRESS")
        return
    for name in asked.said if asked.state != "present" else ():
        yield Problem(name, None, "is allowed with state=present only")
    listed = next((one for one in site.accounts if one.address == asked.account), None)
    if asked.state == "disabled" and listed and postmaster_is_off(site, listed.address):
        yield Problem(
            "account", asked.account, "reads mail to root and postmaster: name another account in mail_postmaster"
        )
    elif asked.state == "enabled" and listed and not listed.enabled:
        yield Problem("account", asked.account, "is disabled in the inventory: take enabled: false out there")
    else:
        yield from store.check(site, asked)
