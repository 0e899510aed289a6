"""A server elsewhere, as another administrator has it: what scenario postfix hands mail on to."""

from __future__ import annotations

import time

from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import Ask, Site

ANNA, CARL = "anna@example.test", "carl@inner.example"
STRANGER = "stranger@outside.example"

# Debian's own Postfix as another administrator has it: port 25 for its domain, 587 and 465 for customers who log in.
OTHER = r"""
set -e
id customer >/dev/null 2>&1 || useradd --create-home customer
id carl >/dev/null 2>&1 || useradd --create-home carl
echo 'customer:Only-4-the-test' | chpasswd
postconf -e myhostname=other.example.net 'mydestination = inner.example, localhost, far.example' relayhost= \
    myorigin=localhost inet_interfaces=all 'luser_relay = carl' local_recipient_maps= mailbox_command= home_mailbox= \
    smtpd_sasl_path=smtpd cyrus_sasl_config_path=/etc/postfix/sasl
mkdir -p /etc/postfix/sasl /var/spool/postfix/var/run/saslauthd
printf 'pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\n' > /etc/postfix/sasl/smtpd.conf
for service in submission 465; do
    postconf -M $service/inet="$service inet n - y - - smtpd"
    postconf -P $service/inet/smtpd_sasl_auth_enable=yes $service/inet/smtpd_tls_security_level=encrypt \
        $service/inet/smtpd_relay_restrictions=permit_sasl_authenticated,reject
done
postconf -P 465/inet/smtpd_tls_wrappermode=yes
chgrp postfix /var/spool/postfix/var/run/saslauthd
pgrep -x saslauthd >/dev/null || saslauthd -a pam -m /var/spool/postfix/var/run/saslauthd -n 1
newaliases
systemctl restart postfix
"""


def arrived(other: Host, token: str) -> str:
    """Return the message as it lies in carl's mailbox there; empty if it does not come within 20 seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        mailbox = other.run("cat /var/mail/carl").stdout
        if token in mailbox:
            return next(text for text in mailbox.split("\nFrom ") if token in text)
        time.sleep(0.3)
    return ""


def goes_out(site: Site, ask: Ask, other: Host) -> bool:
    """Whether mail to the world comes through the other server's ports for customers: logged in and over TLS."""
    token = new_token()
    login = (ANNA, site.passwords[ANNA])
    text = message(ANNA, "someone@far.example", token)
    assert smtp_send(ask(587), ANNA, ["someone@far.example"], text, tls="starttls", login=login).accepted
    return "ESMTPSA" in arrived(other, token)
