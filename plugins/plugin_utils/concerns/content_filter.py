# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Content filter: amavis looks into mail, before or after Postfix queues it, and each recipient's policy decides."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils.plan import File, Question
from ansible_collections.postamt.mail.plugins.plugin_utils.programs.amavis import Amavis, Perl
from ansible_collections.postamt.mail.plugins.plugin_utils.programs.postfix import Extension, Postfix, Service, Value
from ansible_collections.postamt.mail.plugins.plugin_utils.schema import Address, Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils.site import Host, Site
from ansible_collections.postamt.mail.plugins.plugin_utils.sizing import MB, sizing

Verdict = t.Literal["reject", "quarantine", "discard", "tag", "pass"]

WORLD, USERS, HOST = 10024, 10026, 10027  # amavis's ports, by who sends: each has its policy bank
BACK = "127.0.0.1:10025"  # where Postfix takes filtered mail
QUARANTINE = "/var/lib/amavis/virusmails"
SOCKET = "/var/lib/amavis/amavisd.sock"  # by which amavisd-release(8) asks for mail from the quarantine

# What amavis opens archives with
_DECODERS = ("arj", "binutils", "cabextract", "cpio", "lz4", "lzop", "p7zip-full", "rpm2cpio", "unrar-free", "xz-utils")
_DOUBLE = "exe|vbs|pif|scr|bat|cmd|com|cpl|dll"  # as amavis ships it


@dataclasses.dataclass(frozen=True)
class Policy:
    """What happens to mail with what was found in it.

    One answer serves all recipients: a message is refused where every recipient's policy says reject; else it is taken,
    delivered to those whose policy lets it pass, and kept in the quarantine for the others. After the queue nothing can
    be refused, and reject means quarantine. tag delivers with a word before the subject, pass without; discard keeps no
    copy. Spam that is delivered goes to the folder Junk.
    """

    viruses: Verdict | None = var("What happens to mail with a virus; by default reject.", None)
    banned_files: Verdict | None = var("What happens to mail with a banned file; by default reject.", None)
    bad_headers: Verdict | None = var("What happens to mail whose header breaks the rules; by default pass.", None)
    over_limits: Verdict | None = var("What happens to mail that unpacks beyond all measure; by default reject.", None)
    encrypted: Verdict | None = var("What happens to mail that nobody can look into; by default pass.", None)
    spam: Verdict | None = var("What happens to mail that reaches spam_refuse_score; by default reject.", None)
    spam_junk_score: float | None = var("Score from which mail goes to the folder Junk; by default 5.", None)
    spam_refuse_score: float | None = var("Score from which spam decides; by default 12.", None)
    notify: Address | None = var("Who is told of viruses and banned files that were stopped; nobody by default.", None)


_DEFAULTS = Policy("reject", "reject", "pass", "reject", "pass", "reject", 5.0, 12.0, None)
# Policy's field -> amavis's category of content, and the name of its quarantine
_CATEGORIES = {
    "viruses": ("CC_VIRUS", "virus"),
    "banned_files": ("CC_BANNED", "banned"),
    "over_limits": ("CC_UNCHECKED.',2'", "unchecked"),
    "encrypted": ("CC_UNCHECKED.',1'", "unchecked"),
    "spam": ("CC_SPAM", "spam"),
    "bad_headers": ("CC_BADH", "bad_header"),
}
_TOLD = ("viruses", "banned_files")
_TAGS = {
    "viruses": "***VIRUS*** ",
    "banned_files": "***BANNED FILE*** ",
    "over_limits": "***UNCHECKED*** ",
    "encrypted": "***ENCRYPTED*** ",
    "spam": "***SPAM*** ",
    "bad_headers": "***BAD HEADER*** ",
}


@dataclasses.dataclass(frozen=True)
class Variables:
    """What happens to what the filter finds."""

    mail_filter_policy: Policy = var("What happens to mail, for the whole site.", Policy())
    mail_filter_policies: dict[str, Policy] = var(
        "Policies of domains and accounts: what one does not say, the account's domain says, then the site.", {},
        example="{example.org: {banned_files: quarantine}, alice@example.org: {spam_junk_score: 8}}",
    )  # fmt: skip
    mail_banned_extensions: list[str] = var(
        "Endings of file names that are banned, in archives too.",
        ["exe", "vbs", "pif", "scr", "bat", "cmd", "com", "cpl"],
    )
    mail_banned_types: list[str] = var(
        "MIME types that are banned.",
        ["application/x-msdownload", "application/x-msdos-program", "application/hta"],
    )
    mail_quarantine_days: int = var("Days for which the quarantine keeps mail.", 30)


def check(site: Site) -> Iterator[Problem]:
    said = site.of(Variables)
    known = {*site.domains, *(account.address for account in site.accounts)}
    for name in said.mail_filter_policies:
        if name.lower() not in known:
            yield Problem(f"mail_filter_policies.{name}", None, "must be one of mail_domains or an account's address")
    for policy, where in [(said.mail_filter_policy, "mail_filter_policy")] + [
        (policy, f"mail_filter_policies.{name}") for name, policy in said.mail_filter_policies.items()
    ]:
        junk, refuse = policy.spam_junk_score, policy.spam_refuse_score
        if junk is not None and refuse is not None and refuse < junk:
            yield Problem(f"{where}.spam_refuse_score", refuse, f"must be at least spam_junk_score, {junk}")
    for ending in said.mail_banned_extensions:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", ending):
            yield Problem("mail_banned_extensions", ending, "must be an ending without its dot, such as exe")
    if said.mail_quarantine_days < 1:
        yield Problem("mail_quarantine_days", said.mail_quarantine_days, "must be at least 1")
    for host in filter(site.filters, site.hosts.values()):
        size = sizing(site, host)
        if not size.fits:
            allowed = (
                "set mail_antivirus: false, or mail_clamav_server: ADDRESS where clamd of another host does it, or add "
                f"{(size.needed - size.memory - size.swap) // MB + 1} MB of memory or swap"
            )
            yield Problem(f"memory of host {host.name}", None, f"is too little for the {size.sentence()}; {allowed}")
    wanted = site.core.mail_filter_processes
    if wanted is not None and wanted < 1:
        yield Problem("mail_filter_processes", wanted, "must be at least 1")


# --- Postfix


def postfix(site: Site, host: Host) -> Postfix | None:
    if not site.filters(host):
        return None
    size = sizing(site, host)
    before = site.core.mail_content_filter == "before_queue"

    def through(port: int) -> dict[str, Value]:
        if before:
            # Postfix takes the whole message before it connects, so that slow clients keep no amavis process busy.
            return {"smtpd_proxy_filter": f"127.0.0.1:{port}", "smtpd_proxy_options": "speed_adjust"}
        # Addresses are rewritten once, when mail comes back: policies go by the recipient as it was written.
        return {"content_filter": f"amavis:[127.0.0.1]:{port}", "receive_override_options": "no_address_mappings"}

    # Mail of the host's own programs has no SMTP dialogue, so it takes the way after the queue.
    local: dict[str, Value] = {
        "content_filter": f"amavis:[127.0.0.1]:{HOST}", "receive_override_options": "no_address_mappings",
    }  # fmt: skip
    extensions = {"pickup/unix": Extension(options=local)}
    if host.does("mail_mx"):
        extensions["smtp/inet"] = Extension(str(size.connections), through(WORLD))
    if host.does("mail_submission"):
        extensions["submission/inet"] = extensions["submissions/inet"] = Extension(options=through(USERS))
    return Postfix(
        services={
            "amavis/unix": Service(
                "smtp",
                maxproc=str(size.processes),
                options={
                    "smtp_send_xforward_command": True,
                    "smtp_data_done_timeout": "1200s",
                    "smtp_tls_security_level": "none",
                    "smtp_tls_policy_maps": "",
                    "smtp_sasl_auth_enable": False,
                    "disable_dns_lookups": True,
                    "max_use": 20,
                },
            ),
            f"{BACK}/inet": Service("smtpd", private="n", options=_back(before)),
        },
        extensions=extensions,
    )


def _back(before: bool) -> dict[str, Value]:
    """Return the options of the port that takes filtered mail from this host, without asking everything again."""
    once = ["no_unknown_recipient_checks", "no_milters"]
    return {
        "syslog_name": "postfix/filtered",
        "content_filter": "",
        "smtpd_proxy_filter": "",
        # header_checks have had their turn where mail has been in the queue already
        "receive_override_options": once if before else [*once, "no_header_body_checks"],
        "mynetworks": "127.0.0.0/8",
        "smtpd_authorized_xforward_hosts": "127.0.0.0/8",
        "smtpd_client_restrictions": ["permit_mynetworks", "reject"],
        "smtpd_relay_restrictions": ["permit_mynetworks", "reject"],
        "smtpd_recipient_restrictions": ["permit_mynetworks", "reject"],
        "smtpd_helo_restrictions": "",
        "smtpd_sender_restrictions": "",
        "smtpd_data_restrictions": "",
        "smtpd_end_of_data_restrictions": "",
        "smtpd_tls_security_level": "none",
        "smtpd_sasl_auth_enable": False,
        "smtpd_client_connection_count_limit": 0,
        "smtpd_client_auth_rate_limit": 0,
        "smtpd_recipient_limit": 50000,
        "smtpd_error_sleep_time": 0,
        "smtpd_soft_error_limit": 1001,
        "smtpd_hard_error_limit": 1000,
        "message_size_limit": 0,  # the limit was for what came; the filter adds lines
    }


# --- amavis


def amavis(site: Site, host: Host) -> Amavis | None:
    if not site.filters(host):
        return None
    said = site.of(Variables)
    by_recipient = _policies(site)
    before = site.core.mail_content_filter == "before_queue"
    settings: dict[str, t.Any] = {
        "$myhostname": str(host.name),
        "$mydomain": str(site.domains[0]),
        "@local_domains_maps": [[str(name) for name in site.domains]],
        "$recipient_delimiter": "+",
        "$max_servers": sizing(site, host).processes,
        "$max_requests": 50,
        "$MAX_EXPANSION_QUOTA": sizing(site, host).largest,
        "$child_timeout": 300,
        "$enable_db": False,
        "$inet_socket_bind": "127.0.0.1",
        "$inet_socket_port": [WORLD, USERS, HOST],
        "@inet_acl": ["127.0.0.1"],
        "$unix_socketname": SOCKET,
        "$interface_policy{'SOCK'}": "RELEASE",
        "$policy_bank{'RELEASE'}": {"protocol": "AM.PDP", "auth_required_release": False},
        # Mail between hosts of the site is told by its address, which Postfix says and nobody else can (XFORWARD).
        "@client_ipaddr_policy": [[*site.own_addresses], "HOST"],
        f"$interface_policy{{'{USERS}'}}": "USERS",
        f"$interface_policy{{'{HOST}'}}": "HOST",
        "$forward_method": f"smtp:[{BACK.replace(':', ']:')}",
        "$notify_method": f"smtp:[{BACK.replace(':', ']:')}",
        "$QUARANTINEDIR": QUARANTINE,
        "$X_HEADER_LINE": f"amavis at {host.name}",
        "$remove_existing_x_scanned_headers": True,
        "$remove_existing_spam_headers": True,
        "$undecipherable_subject_tag": "",
        "$quarantine_to_maps_by_ccat{+CC_UNCHECKED}": [],
        "$admin_maps_by_ccat{+CC_UNCHECKED}": [],
        # No notice of non-delivery, ever: senders are forged. What SMTP has not refused is in the quarantine.
        "@spam_dsn_cutoff_level_bysender_maps": [-9999],
        "@spam_crediblefrom_dsn_cutoff_level_bysender_maps": [-9999],
        "$warnbadhsender": False,
        "$warnbannedsender": False,
        "$banned_filename_re": _banned(said),
    }
    # Users' mail is searched for viruses and banned files, and is no spam for coming from a dial-up line.
    bank: dict[str, t.Any] = {
        "originating": True,
        "bypass_spam_checks_maps": [True],
        "bypass_header_checks_maps": [True],
    }
    settings["$policy_bank{'USERS'}"] = {**bank, "client_ipaddr_policy": []}
    settings["$policy_bank{'HOST'}"] = {**bank, "final_destiny_maps_by_ccat": _destinies(by_recipient, refuse=False)}
    for category, maps in _destinies(by_recipient, refuse=before).items():
        settings[f"$final_destiny_maps_by_ccat{{+{category.code}}}"] = maps
    for field in _CATEGORIES:
        settings.update(_what_follows(field, by_recipient))
    settings["@spam_tag2_level_maps"] = [{key: one.spam_junk_score for key, one in by_recipient.items()}]
    settings["@spam_kill_level_maps"] = [{key: one.spam_refuse_score for key, one in by_recipient.items()}]
    return Amavis(
        settings=settings,
        packages=_DECODERS,
        files=[
            File(
                "/etc/tmpfiles.d/postamt-quarantine.conf",
                f"# Written by postamt.mail\nd {QUARANTINE} 0750 amavis amavis {said.mail_quarantine_days}d\n",
            )
        ],
        questions=[Question("smtp_greeting", {"port": port, "address": "127.0.0.1"}) for port in (WORLD, USERS, HOST)],
    )


def _policies(site: Site) -> dict[str, Policy]:
    """Return the whole policy of each address and domain that has one of its own, and of all others ("." in amavis)."""
    said = site.of(Variables)
    given = {name.lower(): policy for name, policy in said.mail_filter_policies.items()}
    found = {".": _over(_DEFAULTS, said.mail_filter_policy)}
    for name in site.domains:
        if name in given:
            found[str(name)] = _over(found["."], given[name])
    for account in site.accounts:
        if account.address in given:
            whole = _over(found.get(account.domain, found["."]), given[account.address])
            found.update({str(address): whole for address in (account.address, *account.aliases)})
    return found


def _over(base: Policy, own: Policy) -> Policy:
    return dataclasses.replace(base, **{k: v for k, v in vars(own).items() if v is not None})


def _destinies(by_recipient: dict[str, Policy], refuse: bool) -> dict[Perl, t.Any]:
    """Return amavis's destiny by category of content and recipient."""
    words = {
        "reject": Perl("D_REJECT" if refuse else "D_DISCARD"),
        "quarantine": Perl("D_DISCARD"),
        "discard": Perl("D_DISCARD"),
        "tag": Perl("D_PASS"),
        "pass": Perl("D_PASS"),
    }
    found: dict[Perl, t.Any] = {
        Perl(category): [{key: words[getattr(one, field)] for key, one in by_recipient.items()}]
        for field, (category, _name) in _CATEGORIES.items()
    }
    return {
        **found,
        # What is no archive that anybody knows, and what the scanner has not seen where the site lets that pass
        Perl("CC_UNCHECKED"): Perl("D_PASS"),
        Perl("CC_MTA.',1'"): Perl("D_TEMPFAIL"),
        Perl("CC_MTA.',2'"): Perl("D_REJECT"),
        Perl("CC_MTA"): Perl("D_TEMPFAIL"),
        Perl("CC_CATCHALL"): Perl("D_PASS"),
    }


def _what_follows(field: str, by_recipient: dict[str, Policy]) -> dict[str, t.Any]:
    """Return whose copies are quarantined, whose subjects get a word, and who is told, for one category of content."""
    category, name = _CATEGORIES[field]
    kept, tagged, told = {}, {}, {}
    for key, one in by_recipient.items():
        verdict = getattr(one, field)
        kept[key] = f"{name}-quarantine" if verdict in ("reject", "quarantine") else ""
        told[key] = str(one.notify or "") if field in _TOLD and verdict not in ("tag", "pass") else ""
        if verdict == "tag":
            tagged[key] = _TAGS[field]
    return {
        f"$quarantine_method_by_ccat{{+{category}}}": f"local:{name}-%m",
        f"$quarantine_to_maps_by_ccat{{+{category}}}": [kept],
        f"$subject_tag_maps_by_ccat{{+{category}}}": [tagged],
        f"$admin_maps_by_ccat{{+{category}}}": [told],
    }


def _banned(said: Variables) -> Perl:
    """Return the rules for names and types of attached files: amavis's own, with the site's endings and types."""
    rules = [rf"qr'\.[^./]*\.({_DOUBLE})\.?$'i", r"qr'\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?$'i"]
    rules += [f"qr'^{re.escape(kind)}$'i" for kind in said.mail_banned_types]
    if said.mail_banned_extensions:
        rules.append(rf"qr'.\.({'|'.join(said.mail_banned_extensions)})$'i")
    rules.append(r"qr'^\.(exe-ms)$'")  # what file(1) makes of programs for Windows
    return Perl(f"new_RE({', '.join(rules)})")
