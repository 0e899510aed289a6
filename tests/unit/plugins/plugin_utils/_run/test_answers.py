# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host may answer, and what is refused."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._run import answers, pki
from ansible_collections.postamt.mail.plugins.plugin_utils._run.exchange import exchange_of

PEM = pki.make_authority("mail.example.org", ["example.org"]).pem
LOOK: dict[str, t.Any] = {
    "release": "trixie",
    "clock": 1790000000, "architecture": "amd64", "memory": 2 << 30, "swap": 0, "cores": 2, "addresses": ["192.0.2.1"],
    "ipv6": True, "ca": "AB" * 32, "unclaimed": ["postfix"], "claimed": [], "firewall": ["ufw"], "holds": ["mailboxes"],
    "in_the_way": ["user deploy has 5000"],
    "masked": ["postfix.service"],
    "versions": {"postfix": "3.10.13", "dovecot": "2.3.19.1"},
}  # fmt: skip
DONE: dict[str, t.Any] = {"changed": True, "actions": ["wrote /etc/x"], "diff": [{"before": "", "after": "x\n"}]}


def checked(job: str, said: dict[str, t.Any]) -> answers.Answer:
    """Check an answer as the action of a program does, or as the action of a job."""
    kind = exchange_of(job)
    return answers.checked(job, said, kind.answers, kind.required)


def test_an_honest_look_passes_as_it_is() -> None:
    assert answers.checked("look", {"changed": False, "look": LOOK}) == {"changed": False, "look": LOOK}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("addresses", ["fe80::1%x\nwelcomelist_from *@evil.example"], "look.addresses[0]"),
        ("addresses", ["fe80::1%eth0"], "look.addresses[0]"),
        ("addresses", [5], "look.addresses[0]"),
        ("addresses", {"192.0.2.1": 1}, "look.addresses"),
        ("release", "trixie\nmail_x", "look.release"),
        ("release", ["trixie"], "look.release"),
        ("architecture", "{{ lookup('pipe', 'id') }}", "look.architecture"),
        ("addresses", [f"10.0.{number >> 8}.{number & 255}" for number in range(1001)], "look.addresses has 1001"),
        ("addresses", ["192.0.2.1", "127.0.0.1"], "look.addresses[1] is 127.0.0.1"),
        ("addresses", ["::ffff:127.0.0.1"], "look.addresses[0]"),
        ("addresses", ["0.0.0.0"], "look.addresses[0]"),
        ("addresses", ["ff02::1"], "look.addresses[0]"),
        ("addresses", ["169.254.169.254"], "look.addresses[0]"),
        ("clock", 10**400, "look.clock"),
        ("clock", "now", "look.clock"),
        ("versions", {f"p{number}": "1.0" for number in range(1001)}, "look.versions has 1001"),
        ("memory", [1], "look.memory"),
        ("memory", -1, "look.memory"),
        ("cores", 1e9, "look.cores"),
        ("ipv6", "yes", "look.ipv6"),
        ("versions", {"postfix": "x.y"}, "look.versions.postfix"),
        ("versions", {"post\nfix": "3.10"}, "look.versions.post"),
        ("versions", ["3.10"], "look.versions"),
        ("ca", "../../ca.pem", "look.ca"),
        ("claimed", ["haproxy\x1b[2J"], "look.claimed[0]"),
        ("unclaimed", "../../../etc", "look.unclaimed[0]"),
        ("unclaimed", ["postfix", "exim"], "look.unclaimed has exim"),
        ("holds", [{"directory": 1}], "look.holds[0]"),
        ("firewall", ["ufw\nsudo"], "look.firewall[0]"),
        ("mail_relayhost", {"host": "evil.example"}, "look.mail_relayhost: is not known"),
    ],
)
def test_a_look_that_lies_about_its_form_is_refused(key: str, value: object, said: str) -> None:
    with pytest.raises(answers.Wrong) as refused:
        answers.checked("look", {"changed": False, "look": {**LOOK, key: value}})
    assert str(refused.value).startswith(said)
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    "more",
    [
        {"add_host": {"host_name": "evil"}},
        {"add_group": "mail"},
        {"unreachable": True},
        {"skipped": True},
        {"results": [{"ansible_facts": {}}]},
        {"ansible_job_id": "1"},
        {"look": LOOK},  # which Postfix's program has not
        {"actions": "wrote"},
        {"actions": [["wrote"]]},
        {"diff": {"before": ""}},
        {"diff": [{"before": "", "prepared": {"x": 1}}]},
        {"changed": "no"},
        {"failed": {}},
        {"missing": {"packages": ["-o APT::x=1"]}},
        {"missing": {"packages": ["x y"]}},
        {"missing": {"users": [{"name": "x", "uid": None, "home": "/nonexistent", "groups": [], "password": "x"}]}},
        {"missing": {"users": [{"name": "x", "uid": None, "home": "/home/../etc", "groups": []}]}},
        {"missing": ["packages"]},
    ],
)
def test_what_a_program_does_not_answer_is_refused(more: dict[str, t.Any]) -> None:
    with pytest.raises(answers.Wrong):
        answers.checked("postfix", {**DONE, **more})


def test_what_ansible_adds_itself_is_left_out() -> None:
    more = {"invocation": {"module_args": {}}, "_ansible_parsed": True, "warnings": [{"x": 1}], "exception": object()}
    assert answers.checked("postfix", {**DONE, **more}) == DONE


def test_what_is_missing_is_given_on_as_it_was_asked_for() -> None:
    user = {"name": "vmail", "uid": 5000, "home": "/var/vmail", "groups": ["ssl-cert"]}
    missing = {"packages": ["postfix-lmdb", "libsasl2-modules"], "users": [user]}
    assert answers.checked("postfix", {**DONE, "missing": missing})["missing"] == missing


def test_text_loses_what_a_terminal_would_obey() -> None:
    said = answers.checked("postfix", {"failed": True, "msg": "a\x1b]0;x\x07b\r\nc\td\u202ee\x9b2J"})
    assert said == {"failed": True, "msg": "a?]0;x?b\nc\td?e?2J"}


def test_what_is_shown_as_a_line_is_one() -> None:
    forged = "x\r\nmail.example.org: released y"
    said = answers.checked("quarantine", {"changed": True, "actions": [forged], "notes": [forged], "mails": []})
    assert said["actions"] == said["notes"] == ["x?mail.example.org: released y"]


@pytest.mark.parametrize(
    ("program", "said", "missing"),
    [
        ("certificates", {"changed": False, "served": {"public": {"chain": ""}}}, "served.public.matches"),
        ("quarantine", {"mails": [{}]}, "mails[0].id"),
        ("accounts", {"actions": [], "accounts": [{"address": "x"}]}, "accounts[0].enabled"),
        ("postfix", {**DONE, "missing": {"users": [{"name": "x"}]}}, "missing.users[0].uid"),
    ],
)
def test_an_item_without_its_keys_is_refused(program: str, said: dict[str, t.Any], missing: str) -> None:
    with pytest.raises(answers.Wrong) as refused:
        checked(program, said)
    assert str(refused.value) == f"{missing} is missing"


def test_an_answer_without_its_keys_is_refused() -> None:
    with pytest.raises(answers.Wrong, match=r"^look is missing$"):
        answers.checked("look", {"changed": False})
    with pytest.raises(answers.Wrong, match=r"^actions is missing$"):
        answers.checked("dovecot", {"changed": False})
    assert answers.checked("dovecot", {"failed": True})["msg"] == "it failed without a message"


def test_of_ansibles_own_modules_nothing_but_success_is_heard() -> None:
    said = {
        "changed": True,
        "ansible_facts": {"mail_relayhost": 1},
        "add_host": {},
        "stdout": "x",
        "cache_updated": True,
    }
    assert answers.stock(said) == {"changed": True}
    with pytest.raises(answers.Wrong, match="msg must be text"):
        answers.stock({"failed": True, "msg": {"x": 1}})


@pytest.mark.parametrize("text", ["", "no certificate", 5, ["x"], f"{PEM}{'-' * 100_000}", PEM.replace("M", "N", 40)])
def test_a_chain_is_certificates_and_not_too_long(text: t.Any) -> None:
    also = {"chains": answers.chains}
    said = {"changed": False, "look": LOOK}
    assert answers.checked("look", {**said, "chains": [PEM]}, also)["chains"] == [PEM]
    with pytest.raises(answers.Wrong, match=r"chains\[0\] must be certificates in PEM"):
        answers.checked("look", {**said, "chains": [text]}, also)
    for wrong in ([PEM] * 17, PEM, {"a": PEM}):
        with pytest.raises(answers.Wrong, match="chains must be a list of at most 16 items"):
            answers.checked("look", {**said, "chains": wrong}, also)


@pytest.mark.parametrize(
    ("program", "wrong"),
    [
        ("accounts", {"left": {"delete": {"x@example.org": "/var/vmail/.."}}}),
        ("accounts", {"left": {"delete": {"x@example.org": "/var/vmail/"}}}),
        ("accounts", {"accounts": [{"address": "x", "enabled": 1, "source": "", "dn": "", "delete_from": ""}]}),
        ("accounts", {"deleted": [{}]}),
        ("certificates", {"served": {"../x": {"chain": "", "matches": True, "guarded": True}}}),
        ("certificates", {"served": {"public": "chain"}}),
        ("certificates", {"requests": ["x"]}),
        ("compare", {"what": "everything"}),
        ("ldap", {"passwords_needed": {"alice@example.org": 1}}),
        ("move_directory", {"data": "not packed!"}),
        ("quarantine", {"mails": [{"id": "x", "time": "99999999999999999999"}]}),
        ("remove", {"ran": ["x; reboot"], "stays": {}}),
    ],
)
def test_each_programs_own_keys_are_typed(program: str, wrong: dict[str, t.Any]) -> None:
    with pytest.raises(answers.Wrong, match=f"^{next(iter(wrong))}"):
        checked(program, {**DONE, **wrong})
