#!/bin/sh
# A mail server as many are: Postfix delivers into Maildirs, Dovecot shows them, users and passwords are the host's.
set -eu

for user in anna ben carl dora emil fred gita hans ida jan; do
    useradd --create-home "$user"
    echo "$user:Only-4-$user" | chpasswd
done

cat > /etc/aliases << 'END'
# See man 5 aliases for format
postmaster: root
root: anna
info: ben, carl
sales: :include:/etc/postfix/sales
tickets: "|/usr/local/bin/ticket"
team: "|/usr/local/bin/team"
END
echo "dora, emil" > /etc/postfix/sales
printf '#!/bin/sh\ncat >> /var/tmp/tickets\n' > /usr/local/bin/ticket
# a program whose disk is away: sendmail takes 75 for "try again"
printf '#!/bin/sh\n[ -d /srv/team ] || exit 75\nexec cat >> /var/tmp/team\n' > /usr/local/bin/team
chmod 755 /usr/local/bin/ticket /usr/local/bin/team
echo '\gita, jan' > /home/gita/.forward
chown gita: /home/gita/.forward
newaliases

postconf -e myhostname=mail.example.test 'mydestination=$myhostname, example.test, localhost' \
    home_mailbox=Maildir/ mailbox_command= smtpd_sasl_type=dovecot smtpd_sasl_path=private/auth \
    smtpd_sasl_auth_enable=yes 'smtp_sasl_password_maps=static:me:Not-for-the-log'
postconf -M submission/inet='submission inet n - y - - smtpd'
postconf -P submission/inet/smtpd_tls_security_level=encrypt

cd /etc/dovecot/conf.d
if grep -q '^mail_driver' 10-mail.conf; then # 2.4
    sed -i -e 's,^mail_driver = .*,mail_driver = maildir,' -e 's,^mail_path = .*,mail_path = %{home}/Maildir,' \
        -e '/^mail_inbox_path/d' 10-mail.conf
else
    sed -i 's,^mail_location = .*,mail_location = maildir:~/Maildir,' 10-mail.conf
fi
cat > 99-postfix.conf << 'END'
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
END
systemctl enable postfix dovecot
systemctl restart postfix # makes the folder in which Dovecot's socket lies
systemctl restart dovecot
