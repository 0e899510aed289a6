# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys and certificates on a host, made and looked at with openssl(1).

Below the folder (/etc/postamt/tls) each certificate NAME is a symbolic link to a generation, a folder with chain.pem
and key.pem that belong together. A new generation is complete and on disk before one rename(2) of the link makes it the
served one, so nobody finds a key beside another key's certificate, not even after a power cut.
"""

from __future__ import annotations

import contextlib
import grp
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

FOLDER = "/etc/postamt/tls"
GROUP = "ssl-cert"
GENERATIONS = ".generations"
REQUESTED = ".requested"  # keys whose certificate the controller has not signed yet
CA = "ca.pem"
CHAIN = "chain.pem"
KEY = "key.pem"
GENERATE = {
    "ec": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve"),
    "rsa": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"),
}


Run = Callable[..., tuple[int, str, str]]  # AnsibleModule.run_command


class CertificateError(Exception):
    """The host cannot do what it was asked; the text says why."""


class Store:
    """The certificates of a host.

    folder: where they lie. gid: group that may read keys. run: runs openssl. uid: owner of all.
    """

    def __init__(self, folder: str, gid: int, run: Run, uid: int = 0) -> None:
        self.folder = folder
        self.gid = gid
        self.run = run
        self.uid = uid

    def seen(self) -> dict[str, object]:
        """Return the CA's certificate and each certificate: its chain, whether the key matches and is guarded."""
        served = {}
        for name in self._names():
            chain = self._text(name, CHAIN)
            served[name] = {"chain": chain, "matches": self._match(self._at(name)), "guarded": self._guarded(name)}
        return {"ca": self._text(CA), "served": served}

    def requested(self, certificates: list[dict[str, str]]) -> dict[str, str]:
        """Return a signing request by name; the key served now is kept where it is of the wanted type.

        certificates: mappings with name and key_type (ec, rsa).
        """
        self._prepare()
        shutil.rmtree(self._at(REQUESTED), ignore_errors=True)
        os.mkdir(self._at(REQUESTED), 0o700)
        found = {}
        for item in certificates:
            name, kind = item["name"], item["key_type"]
            key = self._at(REQUESTED, f"{name}.pem")
            served = self._at(name, KEY)
            if self._kind(served) == kind:
                self._write(key, self._read(served), 0o600)
            else:
                self._write(key, self._run("genpkey", *GENERATE[kind]).encode("ascii"), 0o600)
            found[name] = self._run("req", "-new", "-key", key, "-subj", f"/CN={name}")
        return found

    def installed(self, ca: str, certificates: list[dict[str, str]], removed: list[str]) -> None:
        """Serve chains with their keys (those of the last request, or as given), and the CA; drop what is removed.

        certificates: mappings with name, chain and, where the user supplies it, key, in PEM.
        """
        self._prepare()
        ready = {}
        try:
            for item in certificates:
                ready[item["name"]] = self._generation(item)
            if self._text(CA) != ca:
                self._replace(self._at(CA), ca.encode("ascii"))
            for name in list(ready):
                self._serve(name, ready[name])
                del ready[name]
        finally:
            for left in ready.values():
                shutil.rmtree(left, ignore_errors=True)
        for name in removed:
            os.unlink(self._at(name))
        shutil.rmtree(self._at(REQUESTED), ignore_errors=True)
        self._sync(self.folder)
        self._sweep()

    def _generation(self, item: dict[str, str]) -> str:
        name = item["name"]
        path = tempfile.mkdtemp(prefix=f"{name}.", dir=self._at(GENERATIONS))
        try:
            key = item.get("key")
            content = key.encode("ascii") if key else self._read(self._at(REQUESTED, f"{name}.pem"))
            self._write(os.path.join(path, KEY), content, 0o640, self.gid)
            self._write(os.path.join(path, CHAIN), item["chain"].encode("ascii"), 0o644)
            if not self._match(path):
                raise CertificateError(f"certificate {name}: the key is not the certificate's")
            os.chmod(path, 0o755)
            self._sync(path)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return path

    def _serve(self, name: str, path: str) -> None:
        link = self._at(name)
        if os.path.lexists(link) and not os.path.islink(link):
            raise CertificateError(f"{link} is not of this collection's making: move it away")
        fresh = f"{self._at(GENERATIONS)}/.link"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        self._sync(self._at(GENERATIONS))
        os.symlink(os.path.relpath(path, self.folder), fresh)
        os.rename(fresh, link)

    def _sweep(self) -> None:
        """Remove the generations that no link names: replaced ones, and what a killed run left."""
        used = {os.path.basename(os.readlink(self._at(name))) for name in self._names()}
        for name in set(os.listdir(self._at(GENERATIONS))) - used:
            path = self._at(GENERATIONS, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)

    def _prepare(self) -> None:
        for path in (os.path.dirname(self.folder), self.folder, self._at(GENERATIONS)):
            if not os.path.isdir(path):
                os.mkdir(path)
                os.chmod(path, 0o755)

    def _names(self) -> list[str]:
        """Return the certificates there: the links into the generations."""
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        links = [name for name in names if os.path.islink(self._at(name))]
        return sorted(name for name in links if os.readlink(self._at(name)).startswith(f"{GENERATIONS}/"))

    def _guarded(self, name: str) -> bool:
        try:
            key, chain, folder = (os.stat(self._at(name, part)) for part in (KEY, CHAIN, ""))
        except OSError:
            return False
        return (
            (key.st_mode & 0o7777, key.st_uid, key.st_gid) == (0o640, self.uid, self.gid)
            and (chain.st_mode & 0o7777, chain.st_uid) == (0o644, self.uid)
            and (folder.st_mode & 0o7777, folder.st_uid) == (0o755, self.uid)
        )

    def _match(self, path: str) -> bool:
        """Tell whether a generation's key is that of the first certificate of its chain."""
        try:
            ours = self._run("pkey", "-in", os.path.join(path, KEY), "-pubout")
            theirs = self._run("x509", "-in", os.path.join(path, CHAIN), "-noout", "-pubkey")
        except CertificateError:
            return False
        return ours == theirs

    def _kind(self, key: str) -> str:
        """Return ec (P-256) or rsa for a key that can be kept, else nothing."""
        try:
            text = self._run("pkey", "-in", key, "-noout", "-text_pub")
        except CertificateError:
            return ""
        if "prime256v1" in text:
            return "ec"
        return "rsa" if "Modulus:" in text else ""

    def _run(self, *arguments: str) -> str:
        code, out, err = self.run(["openssl", *arguments])
        if code:
            raise CertificateError(f"openssl {arguments[0]}: {err.strip()}")
        return out

    def _at(self, *parts: str) -> str:
        return os.path.join(self.folder, *parts)

    def _text(self, *parts: str) -> str:
        try:
            return self._read(self._at(*parts)).decode("ascii", "replace")
        except OSError:
            return ""

    @staticmethod
    def _read(path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    def _write(self, path: str, data: bytes, mode: int, gid: int | None = None) -> None:
        """Write a new file: private before it has content, durable before it has a reader."""
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchown(handle, self.uid, -1 if gid is None else gid)
            os.fchmod(handle, mode)
            file.flush()
            os.fsync(handle)

    def _replace(self, path: str, data: bytes) -> None:
        fresh = self._at(GENERATIONS, ".ca")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        self._write(fresh, data, 0o644)
        os.rename(fresh, path)

    @staticmethod
    def _sync(folder: str) -> None:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def carry_out(module: AnsibleModule) -> None:
    """Do what the request's `state` says; ends the module.

    seen: return what is there. requested: make missing keys, return signing requests. installed: serve chains with
    their keys. Nothing is done where one of the request's packages is missing.
    """
    request: dict[str, Any] = module.params["request"]
    try:
        gid = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        gid = -1
    lacking = _lacking(module, request.get("packages", [])) or ([GROUP] if gid < 0 else [])
    store = Store(FOLDER, gid, module.run_command)
    result: dict[str, Any] = {"changed": False, "missing": {"packages": lacking, "users": []}}
    try:
        if request["state"] == "seen":
            result.update(store.seen())
        elif lacking:
            module.fail_json(msg="missing packages: " + ", ".join(lacking))
        elif module.check_mode:
            result["changed"] = True
        elif request["state"] == "requested":
            result["requests"] = store.requested(request["certificates"])
        else:
            store.installed(request["ca"], request["certificates"], request["removed"])
            result["changed"] = True
    except CertificateError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or FOLDER}: {error.strerror}")
    module.exit_json(**result)


def _lacking(module: AnsibleModule, packages: list[str]) -> list[str]:
    """Return those of packages that dpkg does not call installed."""
    if not packages:
        return []
    asked = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages]
    lines = module.run_command(asked)[1].splitlines()
    return [package for package in packages if f"{package} installed" not in lines]
