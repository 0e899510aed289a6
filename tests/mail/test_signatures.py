"""What users and programs of the site send is signed when it arrives; what strangers send is not."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.signatures import BOTH, signatures, signed_for
from ansible_collections.postamt.mail.tests.lib.site import Ask, Connect, Site

ANNA, BEN = "anna@example.test", "ben@example.test"
STRANGER = "stranger@outside.example"
TEXTS = {
    "plain": "Hello\n",
    "8bit": "Grüße, schöne Grüße\n",
    "dots": ".\n..\n trailing \n\n\n",
    "long": f"{'x' * 900}\n",
    "empty": "",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_user_s_mail_has_two_signatures(site: Site, ask: Ask, text: str) -> None:
    token, login = new_token(), (ANNA, site.passwords[ANNA])
    content = message(ANNA, BEN, token, text, encoding="7bit" if text.isascii() else "8bit")
    assert smtp_send(ask(587), ANNA, [BEN], content, tls="starttls", login=login).accepted
    arrived = imap_find(ask(993), BEN, site.passwords[BEN], token)
    assert arrived
    assert signed_for(site, arrived) == {"example.test": BOTH}


def test_mail_of_programs_is_signed(site: Site, ask: Ask, connect: Connect) -> None:
    """Over sendmail(1) on every host, and on those that send over port 25 too."""
    sent = {}
    for name in site.groups["mail"]:
        sent[f"sendmail on {name}"] = token = new_token()
        text = f"From: root <root@{name}>\\nSubject: {token}\\n\\nfrom cron\\n"
        connect(name).check_output(f"printf '{text}' | sendmail -f root@{name} {BEN}")
    for name in site.having(25):
        sent[f"port 25 on {name}"] = token = new_token()
        program = (
            "import smtplib; smtplib.SMTP('127.0.0.1').sendmail('wiki@example.test', "
            f"'{BEN}', 'From: wiki@example.test\\r\\nSubject: {token}\\r\\n\\r\\nhello\\r\\n')"
        )
        connect(name).check_output(f'python3 -c "{program}"')
    for way, token in sent.items():
        arrived = imap_find(ask(993), BEN, site.passwords[BEN], token)
        assert arrived, way
        assert signed_for(site, arrived) == {"example.test": BOTH}, way


def test_mail_of_strangers_is_not_signed(site: Site, ask: Ask) -> None:
    token = new_token()
    assert smtp_send(ask(25), STRANGER, [BEN], message(ANNA, BEN, token)).accepted
    arrived = imap_find(ask(993), BEN, site.passwords[BEN], token)
    assert arrived
    assert signatures(arrived) == []
