# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter policies: what happens to viruses, banned files and spam, for the site, its domains and its accounts."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter import _filtering as filtering
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Address, DomainOrAddress
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.amavis import Amavis, Perl

Verdict = t.Literal["reject", "quarantine", "discard", "tag", "pass"]


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

    mail_filter_policy: Policy = var(
        "What happens to mail, for the whole site.", Policy(), example="{encrypted: tag, spam_refuse_score: 15}"
    )
    mail_filter_policies: dict[DomainOrAddress, Policy] = var(
        "Policies of domains and accounts: what one does not say, the account's domain says, then the site.", {},
        example="{example.org: {banned_files: quarantine}, alice@example.org: {spam_junk_score: 8}}",
    )  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    said = site.of(Variables)
    known = {*site.domains, *(account.address for account in site.accounts)}
    for name in said.mail_filter_policies:
        if name not in known:
            yield Problem(f"mail_filter_policies.{name}", None, "must be one of mail_domains or an account's address")
    for policy, where in [(said.mail_filter_policy, "mail_filter_policy")] + [
        (policy, f"mail_filter_policies.{name}") for name, policy in said.mail_filter_policies.items()
    ]:
        junk, refuse = policy.spam_junk_score, policy.spam_refuse_score
        if junk is not None and refuse is not None and refuse < junk:
            yield Problem(f"{where}.spam_refuse_score", refuse, f"must be at least spam_junk_score, {junk}")


def amavis(site: Site, host: Host) -> Amavis | None:
    by_recipient = _policies(site)
    settings: dict[str, t.Any] = {
        # Mail of the site's own hosts is never refused: a program there has nobody to tell.
        "$policy_bank{'HOST'}{'final_destiny_maps_by_ccat'}": _destinies(by_recipient, refuse=False),
        "$quarantine_to_maps_by_ccat{+CC_UNCHECKED}": [],
        "$admin_maps_by_ccat{+CC_UNCHECKED}": [],
        # No notice of non-delivery, ever: senders are forged. What SMTP has not refused is in the quarantine.
        "@spam_dsn_cutoff_level_bysender_maps": [-9999],
        "@spam_crediblefrom_dsn_cutoff_level_bysender_maps": [-9999],
        "$warnbadhsender": False,
        "$warnbannedsender": False,
        "@spam_tag2_level_maps": [{key: one.spam_junk_score for key, one in by_recipient.items()}],
        "@spam_kill_level_maps": [{key: one.spam_refuse_score for key, one in by_recipient.items()}],
    }
    before = filtering.before_queue(site)
    for category, maps in _destinies(by_recipient, refuse=before).items():
        settings[f"$final_destiny_maps_by_ccat{{+{category.code}}}"] = maps
    for field in _CATEGORIES:
        settings.update(_what_follows(field, by_recipient))
    return Amavis(settings=settings)


def _policies(site: Site) -> dict[str, Policy]:
    """Return the whole policy of each address and domain that has one of its own, and of all others ("." in amavis)."""
    said = site.of(Variables)
    given: dict[str, Policy] = {str(name): policy for name, policy in said.mail_filter_policies.items()}
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
