"""The collection goes and comes back: accounts, passwords, mail and keys are still there."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.probes import imap_append
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunAgain, Site
from ansible_collections.postamt.mail.tests.lib.trees import tree

ANNA, BEN = "anna@example.test", "ben@example.test"
STAYS = "/etc/postamt/tls/public/chain.pem /etc/postamt/tls/public/key.pem /var/lib/postamt/ldap/applied.json"
SITE = str(Path(__file__).resolve().parents[3] / ".config" / "molecule" / "site.yml")


def test_remove_and_install_again(host: Host, site: Site, ask: Ask, play: RunAgain) -> None:
    token = new_token()
    assert imap_append(ask(993), ANNA, site.passwords[ANNA], message(BEN, ANNA, token)).ok
    stays = host.check_output(f"sha256sum {STAYS}")
    host.check_output("echo '# by hand' >> /etc/saslauthd-postfix.conf")
    whole = tree(host)
    predicted = play(playbook="postamt.mail.remove", check=True)
    assert not predicted.failed and predicted.changed
    assert tree(host) ^ whole == set()

    done = play({"mail_domains": "no list"}, playbook="postamt.mail.remove")
    assert not done.failed
    assert [words.split(" ", 2)[2] for words in predicted.actions] == [words.split(" ", 1)[1] for words in done.actions]
    kept = "/var/lib/postamt/sasl/changed/etc/saslauthd-postfix.conf"
    assert f"kept /etc/saslauthd-postfix.conf, which somebody has changed, in {kept}" in done.actions
    assert host.check_output(f"tail -n 1 {kept}; stat -c %a {kept}").split("\n") == ["# by hand", "600"]
    for line in (
        "the directory: /var/lib/ldap-mail",
        "directory's accounts: /var/vmail",
        "changed: /var/lib/postamt/sasl/changed",
    ):
        assert line in done.stdout
    assert host.check_output(f"sha256sum {STAYS}") == stays
    assert not host.file("/etc/systemd/system/saslauthd-postfix.service").exists
    for unit in ("postfix", "dovecot", "slapd"):
        assert not host.service(unit).is_running and not host.service(unit).is_enabled
    assert "postamt.mail" not in host.run("cat /etc/dovecot/dovecot.conf /etc/postfix/main.cf").stdout
    assert "localhost" not in host.check_output("grep ^SLAPD_SERVICES /etc/default/slapd")
    assert play(playbook="postamt.mail.remove").changed == []

    # nothing of this is somebody else's, so the run needs no mail_adopt
    assert not play(playbook=SITE).failed
    assert imap_find(ask(993), ANNA, site.passwords[ANNA], token)
    assert host.check_output(f"sha256sum {STAYS}") == stays
    host.check_output("rm -r /var/lib/postamt/sasl/changed")
    assert play().changed == []
