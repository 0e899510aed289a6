#!/usr/bin/env python3
"""A running mail system in containers, and a message that goes through it.

    tools/demo.py up           (make demo)             host, playbook, mail; run again, it converges the same host
    tools/demo.py up hosts     (make demo-hosts)       the same accounts over six hosts, with a name server
    tools/demo.py down         (make demo-down)        remove all of it
    tools/demo.py down hosts   (make demo-hosts-down)

The inventory is examples/single-host or examples/several-hosts with the files
of examples/demo laid over it, and how to reach the containers.  For programs
that want to test the servers, .demo/access.json says where everything is.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
SEVERAL = sys.argv[2:] == ["hosts"]
SET, EXAMPLE = ("demo-hosts", "several-hosts") if SEVERAL else ("demo", "single-host")
DEMO = REPOSITORY / f".{SET}"
INVENTORY = DEMO / "inventory"
STATE = DEMO / "state"
ZONES = DEMO / "zones"
BY_HAND = f"cd {DEMO.name} && ../.venv/bin/ansible-playbook -i inventory postamt.mail.site"
# service -> port, and the group whose first host has it
PORTS = {
    "smtp": (25, "mail_mx"),
    "submission": (587, "mail_submission"),
    "submissions": (465, "mail_submission"),
    "imap": (143, "mail_store"),
    "imaps": (993, "mail_store"),
    "pop3s": (995, "mail_store"),
    "sieve": (4190, "mail_store"),
    "ldap": (389, "mail_directory"),
}
durations: dict[str, float] = {}


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Says what begins, and keeps how long it took."""
    print(f"\n=== {name}", flush=True)
    start = time.monotonic()
    yield
    durations[name] = time.monotonic() - start


def run(*command: str) -> None:
    """A command of the demo, shown as it is; its failure ends the demo."""
    print("$ " + " ".join(command), flush=True)
    if code := subprocess.run(command, cwd=REPOSITORY, check=False).returncode:
        raise SystemExit(f"demo: stopped, since this failed ({code}): {' '.join(command)}")


def listed() -> dict[str, Any]:
    """The inventory as Ansible sees it."""
    command = ["ansible-inventory", "-i", str(INVENTORY), "--list"]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def write_folder() -> None:
    """A folder as an administrator has one: the example with the demo's own files over it, Ansible's settings, data."""
    for example in (EXAMPLE, "demo"):
        shutil.copytree(REPOSITORY / "examples" / example, INVENTORY, dirs_exist_ok=True)
    shutil.copytree(REPOSITORY / "examples" / "files", DEMO / "files", dirs_exist_ok=True)
    ours = f"[defaults]\ncollections_path = {REPOSITORY / '.cache' / 'collections'}\n"  # where no environment says so
    written = (REPOSITORY / "examples" / "ansible.cfg").read_text(encoding="utf-8")
    (DEMO / "ansible.cfg").write_text(written.replace("[defaults]\n", ours), encoding="utf-8")
    settings = {"mail": {"vars": {"mail_state_dir": str(STATE)}}}
    (INVENTORY / "state.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def passwords() -> dict[str, str]:
    """What the run generated, by address."""
    import yaml  # comes with Ansible

    loaded = yaml.safe_load((STATE / "secrets.yml").read_text(encoding="utf-8"))
    generated: dict[str, str] = loaded["mail_generated_passwords"]
    return generated


def write_access(inventory: dict[str, Any]) -> dict[str, Any]:
    """.demo/access.json and .demo/ca.pem: what a program needs to test the hosts."""
    shutil.copy(STATE / "ca.pem", DEMO / "ca.pem")
    generated = passwords()
    hosts = inventory["_meta"]["hostvars"]
    first = next(iter(hosts))
    variables = hosts[first]
    accounts = []
    for account in variables["mail_accounts"]:
        known = {key: account[key] for key in ("aliases", "quota", "forward") if key in account}
        password = account.get("password") or generated[account["address"]]
        accounts.append({"address": account["address"], "password": password, **known})
    name = variables.get("mail_server_name", first)
    services = {}
    for service, (port, group) in PORTS.items():
        host = inventory.get(group, inventory["mail"])["hosts"][0]
        shown = host if service == "ldap" else name  # the directory shows its host's own certificate
        services[service] = {"host": hosts[host]["ansible_host"], "port": port, "name": shown}
    access = {
        "server_name": name,
        "ca_file": str(DEMO / "ca.pem"),
        "domains": variables["mail_domains"],
        "accounts": accounts,
        "services": services,
        "zone_files": sorted(str(path) for path in ZONES.glob("*")),
        "inventory": str(INVENTORY),
    }
    target = DEMO / "access.json"
    target.touch(mode=0o600)
    target.write_text(json.dumps(access, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return access


def send_and_read(access: dict[str, Any]) -> None:
    """One message: submitted as the first account, read as the second."""
    sys.path.insert(0, str(REPOSITORY / ".cache" / "collections"))
    from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint
    from ansible_collections.postamt.mail.plugins.plugin_utils._probes import imap, message, smtp

    sender, reader = access["accounts"][:2]

    def endpoint(service: str) -> Endpoint:
        return Endpoint(**access["services"][service], ca_file=access["ca_file"])

    token = message.new_token()
    text = message.message(sender["address"], reader["address"], token, "Hello from the demo.")
    print(f"{sender['address']} submits a message (port 587, STARTTLS, AUTH) ...", flush=True)
    sent = smtp.smtp_send(
        endpoint("submission"),
        sender["address"],
        [reader["address"]],
        text,
        tls="starttls",
        login=(sender["address"], sender["password"]),
    )
    if sent.refused or not sent.accepted:
        raise SystemExit(f"demo: the message was not taken: {sent}")
    print(f"{reader['address']} reads its mailbox (port 993, IMAP over TLS) ...", flush=True)
    found = imap.imap_find(endpoint("imaps"), reader["address"], reader["password"], token, wait=30)
    if found is None:
        raise SystemExit("demo: the message did not arrive within 30 seconds")
    print("the message is there:\n")
    print("\n".join("    " + line for line in found.decode(errors="replace").splitlines()), end="\n\n")


def try_a_virus(access: dict[str, Any]) -> None:
    """EICAR's test file, which every scanner knows and which harms nobody, is refused while it is handed in."""
    from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint
    from ansible_collections.postamt.mail.plugins.plugin_utils._probes import message, smtp

    reader = access["accounts"][1]["address"]
    print(f"a stranger sends EICAR's test file to {reader} (port 25) ...", flush=True)
    eicar = r"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    text = message.message("stranger@elsewhere.example", reader, message.new_token(), eicar)
    endpoint = Endpoint(**access["services"]["smtp"], ca_file=access["ca_file"], timeout=60)
    answer = smtp.smtp_send(endpoint, "stranger@elsewhere.example", [reader], text).answers[reader]
    if answer.code != 554:
        raise SystemExit(f"demo: the virus was not refused: {answer}")
    print(f"    {answer}")
    print("It is the only virus that the demo knows: ClamAV's official signatures are large, and need the internet.")


def explain(access: dict[str, Any], containers: list[str]) -> None:
    """How a person connects a mail program."""
    services = access["services"]
    print(f"\nThe mail server {access['server_name']} runs in {', '.join(containers)}.\n")
    print("Connect a mail program on this machine (user name: the address):")
    for service, what in (
        ("imaps", "IMAP, TLS"),
        ("pop3s", "POP3, TLS"),
        ("submissions", "sending, TLS"),
        ("submission", "sending, STARTTLS"),
    ):
        print(f"  {what:18} {services[service]['host']} port {services[service]['port']}")
    print(f"  the name in the certificate is {access['server_name']}; trust {DEMO / 'ca.pem'}")
    print("\nAccounts:")
    for account in access["accounts"]:
        known = {key: account[key] for key in ("aliases", "quota", "forward") if key in account}
        extras = "; ".join(f"{key}: {x if isinstance(x, str) else ', '.join(x)}" for key, x in known.items())
        print(f"  {account['address']:28} {extras}".rstrip())
    print(f"  passwords: {STATE / 'secrets.yml'}; for programs: {DEMO / 'access.json'}")
    print(f"\nRun the playbook yourself: {BY_HAND}")
    print(f"Remove it: make {SET}-down\n")


def zones() -> None:
    """The one place for DNS: what the site's zones need, for whoever publishes them."""
    with stage("zones"):
        words = ("--tags", "zones", "-e", f"mail_zone_dir={ZONES}")
        run("ansible-playbook", "-i", str(INVENTORY), "postamt.mail.show", *words)


def up(release: str) -> None:
    mark = DEMO / "release"
    if mark.exists() and mark.read_text(encoding="utf-8") != release:
        print("demo: the host runs another release; removing it first")
        down()
    DEMO.mkdir(exist_ok=True)
    mark.write_text(release, encoding="utf-8")
    os.environ["ANSIBLE_CONFIG"] = str(DEMO / "ansible.cfg")
    kind = "test" if SEVERAL else "base"  # six hosts need not install the same packages six times
    with stage("podman"):
        run("tools/hosts.py", "environment")
    with stage("image"):
        run("tools/hosts.py", "image", kind, "--release", release)
    with stage("hosts"):
        write_folder()
        hosts = listed()["mail"].get("hosts") or list(listed()["_meta"]["hostvars"])
        connection = ("--inventory", str(INVENTORY / "connection.json"))
        run("tools/hosts.py", "up", SET, "--image", kind, "--release", release, *connection, *hosts)
    if SEVERAL:
        zones()
        with stage("name server"):
            run("tools/hosts.py", "name-server", SET, "--zones", str(ZONES), "--release", release)
    with stage("converge"):
        run("ansible-playbook", "-i", str(INVENTORY), "postamt.mail.site")
    if not SEVERAL:
        zones()
    with stage("mail"):
        access = write_access(listed())
        send_and_read(access)
        try_a_virus(access)
    explain(access, [variables["lab_container"] for variables in listed()["_meta"]["hostvars"].values()])
    for name, seconds in durations.items():
        print(f"{name:12}{seconds:6.1f} s")
    print(f"{'together':12}{sum(durations.values()):6.1f} s")


def down() -> None:
    subprocess.run([str(REPOSITORY / "tools" / "hosts.py"), "down", SET], check=True)
    shutil.rmtree(DEMO, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["down"]:
        down()
    elif sys.argv[1:2] == ["up"]:
        up(os.environ.get("RELEASE", "trixie"))
    else:
        sys.exit(__doc__)
