# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The passwords that are generated for a site: made once, kept in the state folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import client_secret
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Secrets, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import _ldap_entries
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError


class StoredSecrets(Secrets):
    """Secrets kept in the state folder; in check mode new ones are made up and forgotten."""

    def __init__(self, state: State, check_mode: bool) -> None:
        super().__init__(state.known_secrets())
        self.state = state
        self.check_mode = check_mode

    def get(self, name: str) -> str:
        if name not in self.known:  # derive() has made all that there are: whoever asks for one writes nothing
            raise StateError(f"the password {name} was not made: secret_names() of stored_secrets.py has no such")
        return self.known[name]

    def ensure(self, names: Iterable[str]) -> None:
        """Make all missing ones of names in one write, unless another fork has made them meanwhile."""
        missing = [name for name in names if name not in self.known]
        if not missing:
            return
        if self.check_mode:
            self.known.update({name: super(StoredSecrets, self).get(name) for name in missing})
            return
        with self.state.locked():
            self.known.update(self.state.known_secrets())
            made = {name: super(StoredSecrets, self).get(name) for name in missing if name not in self.known}
            self.state.add_secrets(made)

    def rename(self, former: Mapping[str, str]) -> None:
        """Let a password also go by its account's new name; former: the old names by the new ones.

        The old name is forgotten when the account itself has been renamed: until then the inventory may change back.
        """

        def moved(known: Mapping[str, str]) -> dict[str, str]:
            return {new: known[old] for new, old in former.items() if old in known and new not in known}

        if moved(self.known) and not self.check_mode:
            with self.state.locked():
                self.known.update(self.state.known_secrets())
                self.state.add_secrets(moved(self.known))
        self.known.update(moved(self.known))


def secret_names(site: Site) -> list[str]:
    """Return the names of all generated passwords that plans of the site ask for."""
    names = [*site.lookups.secrets(site), *map(client_secret, site.clients)]
    for concern in compose.concerns().values():
        names += getattr(concern, "secrets", lambda _site: [])(site)
    if site.provider:
        names += _ldap_entries.secret_names(site, compose.contributions("ldap", site, site.provider))
    return [*dict.fromkeys(names)]
