# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Postfix knows by name: its parameters in each release, and the words of restriction lists.

No checker of Postfix knows the latter: a misspelt word passes all of them and answers 451 at RCPT.
"""

from __future__ import annotations

import functools
import json
import os
import re
import typing as t
from collections.abc import Iterator, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import nearest

# Words that stand alone in restriction lists (postconf(5)).
PLAIN = frozenset(
    [
        "permit",
        "reject",
        "defer",
        "defer_if_permit",
        "defer_if_reject",
        "permit_mynetworks",
        "permit_sasl_authenticated",
        "permit_tls_clientcerts",
        "permit_tls_all_clientcerts",
        "permit_inet_interfaces",
        "permit_naked_ip_address",
        "permit_auth_destination",
        "permit_mx_backup",
        "reject_unauth_destination",
        "defer_unauth_destination",
        "reject_unauth_pipelining",
        "reject_unknown_client_hostname",
        "reject_unknown_reverse_client_hostname",
        "reject_unknown_forward_client_hostname",
        "reject_invalid_helo_hostname",
        "reject_non_fqdn_helo_hostname",
        "reject_unknown_helo_hostname",
        "reject_plaintext_session",
        "reject_non_fqdn_sender",
        "reject_unknown_sender_domain",
        "reject_unlisted_sender",
        "reject_unverified_sender",
        "reject_sender_login_mismatch",
        "reject_authenticated_sender_login_mismatch",
        "reject_known_sender_login_mismatch",
        "reject_unauthenticated_sender_login_mismatch",
        "reject_non_fqdn_recipient",
        "reject_unknown_recipient_domain",
        "reject_unlisted_recipient",
        "reject_unverified_recipient",
        "reject_multi_recipient_bounce",
        "warn_if_reject",
    ]
)
# Words that take what follows: a table, a domain or a policy service.
TAKES_TABLE = frozenset(
    [
        "check_client_access",
        "check_client_a_access",
        "check_client_mx_access",
        "check_client_ns_access",
        "check_reverse_client_hostname_access",
        "check_reverse_client_hostname_a_access",
        "check_reverse_client_hostname_mx_access",
        "check_reverse_client_hostname_ns_access",
        "check_ccert_access",
        "check_sasl_access",
        "check_helo_access",
        "check_helo_a_access",
        "check_helo_mx_access",
        "check_helo_ns_access",
        "check_sender_access",
        "check_sender_a_access",
        "check_sender_mx_access",
        "check_sender_ns_access",
        "check_recipient_access",
        "check_recipient_a_access",
        "check_recipient_mx_access",
        "check_recipient_ns_access",
        "check_etrn_access",
    ]
)
TAKES_WORD = frozenset(
    [
        "reject_rbl_client",
        "permit_dnswl_client",
        "reject_rhsbl_client",
        "permit_rhswl_client",
        "reject_rhsbl_reverse_client",
        "reject_rhsbl_helo",
        "reject_rhsbl_sender",
        "reject_rhsbl_recipient",
        "check_policy_service",
        "sleep",
    ]
)
WORDS = PLAIN | TAKES_TABLE | TAKES_WORD
_LIST = re.compile(r"(smtpd|mua)_(client|helo|sender|relay|recipient|data|end_of_data|etrn)_restrictions\Z")
# Parameters that are made from a name which main.cf or master.cf gives (postconf(5)).
_TRANSPORT = r"""_(?:destination_(?:concurrency_(?:limit|failed_cohort_limit|negative_feedback|positive_feedback)|
    rate_delay|recipient_limit)|delivery_slot_(?:cost|discount|loan)|minimum_delivery_slots|recipient_(?:limit|refill_delay|
    refill_limit)|extra_recipient_limit|initial_destination_concurrency|transport_rate_delay|time_limit)\Z"""
_DYNAMIC = re.compile(r"[A-Za-z0-9._-]+?" + _TRANSPORT, re.VERBOSE)
_TABLE_PREFIX = re.compile(r"(?:proxy:)?(?:ldap|mysql|pgsql|sqlite|mongodb):([A-Za-z][A-Za-z0-9_]*)(?![/$])")


@functools.cache
def parameters_of(version: tuple[int, int]) -> frozenset[str]:
    """Return the parameters of a Postfix version (data made by tools/parameters.py from the program itself)."""
    with open(os.path.join(os.path.dirname(__file__), "postfix_parameters.json"), encoding="ascii") as file:
        known: dict[str, list[str]] = json.load(file)
    return frozenset(known[max(known, key=lambda text: (_number(text) <= version, _number(text)))])


def _number(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


Unknown = tuple[str, str, str]  # the service ("" for main.cf), the parameter, and what is wrong with it


def unknown_parameters(
    version: tuple[int, int], parameters: Mapping[str, t.Any], services: Mapping[str, t.Any]
) -> Iterator[Unknown]:
    """Yield each parameter that this version of Postfix does not have."""
    known = parameters_of(version)
    places = _places(parameters, services)
    values = " ".join(str(value) for _service, _name, value in places)
    mentioned = set(re.findall(r"\$[{(]?([A-Za-z0-9_]+)", values))  # a parameter of the user's own that others refer to
    prefixes = {f"{name}_" for name in _TABLE_PREFIX.findall(values)}
    classes = _classes(parameters)
    text = ".".join(map(str, version))
    for service, name, _value in places:
        own = name in mentioned or name in classes or any(name.startswith(prefix) for prefix in prefixes)
        if name not in known and not own and not _DYNAMIC.match(name):
            yield service, name, f"{name} is no parameter of Postfix {text}{nearest(name, known)}"


def unknown_words(parameters: Mapping[str, t.Any], services: Mapping[str, t.Any]) -> Iterator[Unknown]:
    """Yield each word of a restriction list that Postfix does not know."""
    classes = _classes(parameters)
    for service, name, value in _places(parameters, services):
        if not (_LIST.match(name) or name in classes):
            continue
        place = f"{name} of {service}" if service else name
        words = value if isinstance(value, list) else [value]
        # "{ service, option = value }" is one word (postconf(5))
        flat = [word for item in words for word in re.findall(r"\{[^}]*\}|[^,\s]+", str(item))]
        expects = ""
        for word in flat:
            if expects:
                expects = ""
            elif word in TAKES_TABLE or word in TAKES_WORD:
                expects = word
            elif word not in PLAIN and word not in classes and not re.match(r"[$]|[a-z]+:|[45]\d\d\Z", word):
                yield service, name, f"{place}: {word} is no word of a restriction list{nearest(word, WORDS)}"
        if expects:
            yield service, name, f"{place}: {expects} needs a table, domain or service after it"


def _places(parameters: Mapping[str, t.Any], services: Mapping[str, t.Any]) -> list[tuple[str, str, t.Any]]:
    """Return every parameter with its service, "" for main.cf, and its value."""
    options = [(key, name, value) for key, service in services.items() for name, value in service.options.items()]
    return [*(("", name, value) for name, value in parameters.items()), *options]


def _classes(parameters: Mapping[str, t.Any]) -> set[str]:
    said = parameters.get("smtpd_restriction_classes", "")
    return set(re.split(r"[,\s]+", ",".join(map(str, said)) if isinstance(said, list) else str(said)))
