# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The certificates of a host: where they lie, requests for new ones, and which may be served.

Below the folder (/etc/postamt/tls) each certificate NAME is a symbolic link to a generation, a folder with chain.pem
and key.pem that belong together. A new generation is complete and on disk before one rename(2) of the link makes it the
served one, so nobody finds a key beside another key's certificate, not even after a power cut.

A host has this file as /usr/local/lib/postamt/store.py.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
import re
import secrets
import ssl
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._tls.commands import CertificateError

FOLDER = "/etc/postamt/tls"
BOUND = "/etc/postamt/next-keys.json"  # certificates whose key others know: SHA-256 of keys that may follow it
GROUP = "ssl-cert"
LEAST_RSA = 2048
GENERATIONS = ".generations"
REQUESTED = ".requested"  # keys whose certificate the controller has not signed yet
NEXT = ".next"  # keys that wait until others know them
BROUGHT_HERE = ".brought"  # what somebody brings, while it is looked at
CA = "ca.pem"
CHAIN = "chain.pem"
KEY = "key.pem"
GENERATE = {
    "ec": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve"),
    "rsa": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"),
}
_KEY = re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\n[\s\S]*?-----END (?:[A-Z]+ )?PRIVATE KEY-----")

Run = Callable[..., tuple[int, str, str]]  # AnsibleModule.run_command


class Store:
    """The certificates of a host.

    folder: where they lie. gid: group that may read keys. run: runs openssl. uid: owner of all. bound: the file that
    says which keys may follow.
    """

    def __init__(self, folder: str, gid: int, run: Run, uid: int = 0, bound: str = BOUND) -> None:
        self.folder = folder
        self.gid = gid
        self.run = run
        self.uid = uid
        self.bound = bound

    def seen(self, matched: bool = False) -> dict[str, Any]:
        """Return the CA's certificate and each certificate: its chain, whether the key matches and is guarded.

        Also the digest and type of the key that waits to follow, if there is one. matched: whether it is known that
        keys and chains match.
        """
        served = {}
        for name in self.names():
            matches = matched or self.matches(self._at(name))
            following = self._at(NEXT, f"{name}.pem")
            waits = files.exists(following)
            served[name] = {
                "chain": self._text(name, CHAIN),
                "matches": matches,
                "guarded": self._guarded(name),
                "next": self._digest(following) if waits else "",
                "next_type": self._kind(following) if waits else "",
            }
        return {"ca": self._text(CA), "served": served}

    def requested(self, certificates: list[dict[str, str]]) -> dict[str, str]:
        """Return a signing request by name; the key served now is kept where it is of the wanted type.

        A key that waits is taken once others may know it.
        certificates: mappings with name and key_type (ec, rsa).
        """
        self._prepare()
        files.private_folder(self._at(REQUESTED), empty=True)
        found = {}
        for item in certificates:
            name, kind = item["name"], item["key_type"]
            key = self._at(REQUESTED, f"{name}.pem")
            served = self._at(name, KEY)
            following = self._at(NEXT, f"{name}.pem")
            if self._may_follow(name) and self._kind(following) == kind:
                self._write(key, self._read(following), 0o600)
            elif self._kind(served) == kind:
                self._write(key, self._read(served), 0o600)
            else:
                self._write(key, self.openssl("genpkey", *GENERATE[kind]).encode("ascii"), 0o600)
            found[name] = self.openssl("req", "-new", "-key", key, "-subj", f"/CN={name}")
        return found

    def prepared(self, name: str, kind: str) -> str:
        """Return the digest of the key that waits to follow; it is made where there is none of this type."""
        if kind not in GENERATE or name not in self.names():
            known = ", ".join(self.names()) or "none"
            raise CertificateError(f"there is no certificate {name} (known: {known})")
        self._prepare()
        path = self._at(NEXT, f"{name}.pem")
        if not files.exists(path) or self._kind(path) != kind:
            files.private_folder(self._at(NEXT))
            fresh = self._at(NEXT, f".{name}.new")
            self._write(fresh, self.openssl("genpkey", *GENERATE[kind]).encode("ascii"), 0o600)
            files.rename(fresh, path)
            files.settle([path])
        return self._digest(path)

    def _may_follow(self, name: str) -> bool:
        """Tell whether a key waits that others may know."""
        path = self._at(NEXT, f"{name}.pem")
        return files.exists(path) and self._digest(path) in files.load(self.bound).get(name, ())

    def _digest(self, key: str) -> str:
        """Return the SHA-256 of the public key of a private one in a file, or nothing where that is damaged."""
        try:
            return _public_digest(self.openssl("pkey", "-in", key, "-pubout"))
        except CertificateError:
            return ""

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
                files.remove_tree(left)
        for name in removed:
            files.remove(self._at(name))
        for item in certificates:
            files.remove(self._at(REQUESTED, f"{item['name']}.pem"))
            waiting = self._at(NEXT, f"{item['name']}.pem")
            if files.exists(waiting) and self._digest(waiting) == self.key_digest(self._at(item["name"])):
                files.remove(waiting)
        with contextlib.suppress(OSError):  # another certificate's request may be under way
            files.remove_folder(self._at(REQUESTED))
        files.settle([self._at(CA)])
        self._sweep()

    def replaced(self, name: str, chain: str, key: str, brought: Mapping[str, Sequence[str]]) -> bool:
        """Serve a chain and key that lie in files; tells whether they are other ones than those served already.

        brought: the certificates that somebody may bring, and the names that each must be for.
        """
        if name not in self.names() or name not in brought:
            known = ", ".join(sorted(set(self.names()) & set(brought))) or "none"
            raise CertificateError(
                f"{name} is no certificate that a program brings to this host (known: {known}): mail_certificates says "
                "so by hook, and mail_acme"
            )
        found = chain_of(self._read(chain).decode("ascii", "replace"))
        certificates = [*dict.fromkeys(found)]  # a full chain beside a file of intermediates holds those twice
        private = re.search(_KEY, self._read(key).decode("ascii", "replace"))
        if not certificates:
            raise CertificateError(f"{chain} holds no certificate in PEM")
        if not private or "ENCRYPTED" in private[0]:
            raise CertificateError(f"{key} holds no private key in PEM without a pass phrase")
        item = {"name": name, "chain": "".join(map(ssl.DER_cert_to_PEM_cert, certificates)), "key": f"{private[0]}\n"}
        try:  # of what was read, since whoever brings the files may exchange them meanwhile
            place = files.private_folder(self._at(BROUGHT_HERE), empty=True)
            for part, content in ((CHAIN, item["chain"]), (KEY, item["key"])):
                self._write(f"{place}/{part}", content.encode("ascii"), 0o600)
            problems = self.problems(f"{place}/{CHAIN}", f"{place}/{KEY}", brought[name])
        finally:
            files.remove_tree(self._at(BROUGHT_HERE))
        if problems:
            raise CertificateError(f"certificate {name} {'; '.join(problems)}; the one that was served stays")
        if self._text(name, CHAIN) == item["chain"] and self._text(name, KEY) == item["key"] and self._guarded(name):
            return False
        self.installed(self._text(CA), [item], [])
        return True

    def problems(self, chain: str, key: str, names: Iterable[str]) -> list[str]:
        """Return what is wrong with a certificate in a file, its chain and its key, as a run judges files too."""
        extensions = "subjectAltName,extendedKeyUsage"
        text = self.openssl("x509", "-in", chain, "-noout", "-startdate", "-enddate", "-ext", extensions)
        dates = dict(re.findall(r"(?m)^(notBefore|notAfter)=(.*)$", text))
        begin, end = (ssl.cert_time_to_seconds(dates[word]) for word in ("notBefore", "notAfter"))
        known = [name.lower() for name in re.findall(r"DNS:([^,\s]+)", text)]
        found = []
        if missing := [name for name in names if not {name, f"*.{name.partition('.')[2]}"} & set(known)]:
            found.append(f"must be for {', '.join(missing)}, and is for {', '.join(known) or 'no name'}")
        if end < time.time():
            found.append(f"has expired on {time.strftime('%Y-%m-%d', time.gmtime(end))}")
        if begin > time.time():
            found.append(f"is not valid before {time.strftime('%Y-%m-%d', time.gmtime(begin))}")
        if "Extended Key Usage" in text and not re.search("TLS Web Server Authentication|Any Extended Key Usage", text):
            found.append("is not for servers (extended key usage serverAuth)")
        private = self.openssl("pkey", "-in", key, "-noout", "-text_pub")
        bits = re.search(r"Public-Key: \((\d+) bit", private)
        if "Modulus:" in private and (not bits or int(bits[1]) < LEAST_RSA):
            found.append(f"has an RSA key of less than {LEAST_RSA} bits")
        elif "Modulus:" not in private and "ASN1 OID:" not in private:
            found.append(f"has no RSA key of at least {LEAST_RSA} bits and no EC key")
        printed = self.openssl("storeutl", "-noout", "-certs", "-text", chain)
        issuers, subjects = (re.findall(rf"(?m)^ +{word}: ?(.*)$", printed) for word in ("Issuer", "Subject"))
        for issuer, subject in zip(issuers, subjects[1:], strict=False):
            if issuer != subject:
                found.append(f"has a chain that is out of order: {issuer} must come where {subject} is")
        return found

    def _generation(self, item: dict[str, str]) -> str:
        name = item["name"]
        path = self._at(GENERATIONS, f"{name}.{secrets.token_hex(4)}")
        files.private_folder(path)
        try:
            key = item.get("key")
            content = key.encode("ascii") if key else self._read(self._at(REQUESTED, f"{name}.pem"))
            self._write(os.path.join(path, KEY), content, 0o640, self.gid)
            self._write(os.path.join(path, CHAIN), item["chain"].encode("ascii"), 0o644)
            if not self.matches(path):
                raise CertificateError(f"certificate {name}: the key is not the certificate's")
            self._check_bound(name, path)
            files.make_folder(path, 0o755, self.uid, os.getegid())
            files.settle([os.path.join(path, KEY)])
        except BaseException:
            files.remove_tree(path)
            raise
        return path

    def _check_bound(self, name: str, path: str) -> None:
        """Raise CertificateError where the DNS names the key that is served (TLSA), and not that of a generation."""
        following = files.load(self.bound).get(name)
        if following is None or not self.matches(self._at(name)):
            return  # any key will do, or the one that was served is lost
        digest = self.key_digest(path)
        if digest not in (self.key_digest(self._at(name)), *following):
            raise CertificateError(
                f"certificate {name} has a new key (SHA-256 {digest}). The DNS names the present one (mail_tlsa), and "
                "servers that verify it would send no mail to this host. First add the new key to mail_tlsa_next, run "
                "postamt.mail.dns until it says that the key may be used, and then postamt.mail.site. The present "
                "certificate stays"
            )

    def key_digest(self, path: str) -> str:
        """Return the SHA-256 of the public key of a generation's certificate."""
        return _public_digest(self.openssl("x509", "-in", os.path.join(path, CHAIN), "-noout", "-pubkey"))

    def _serve(self, name: str, path: str) -> None:
        link = self._at(name)
        found = files.status(link)
        if found and not stat.S_ISLNK(found.st_mode):
            raise CertificateError(f"{link} is not of this collection's making: move it away")
        fresh = f"{self._at(GENERATIONS)}/.link"
        files.remove(fresh)
        files.settle([fresh])
        files.link(os.path.relpath(path, self.folder), fresh)
        files.rename(fresh, link)

    def _sweep(self) -> None:
        """Remove the generations that no link names: replaced ones, and what a killed run left."""
        used = {os.path.basename(files.readlink(self._at(name))) for name in self.names()}
        for name in set(files.names(self._at(GENERATIONS))) - used:
            path = self._at(GENERATIONS, name)
            found = files.status(path)
            if found and stat.S_ISDIR(found.st_mode):
                files.remove_tree(path)
            else:
                files.remove(path)

    def _prepare(self) -> None:
        files.make_folder(self._at(GENERATIONS))

    def names(self) -> list[str]:
        """Return the certificates there: the links into the generations."""
        names = files.names(self.folder)
        return [name for name in names if files.readlink(self._at(name)).startswith(f"{GENERATIONS}/")]

    def _guarded(self, name: str) -> bool:
        key, chain, folder = (files.status(self._at(name, part)) for part in (KEY, CHAIN, "."))
        if not (key and chain and folder):
            return False
        return (
            (key.st_mode & 0o7777, key.st_uid, key.st_gid) == (0o640, self.uid, self.gid)
            and (chain.st_mode & 0o7777, chain.st_uid) == (0o644, self.uid)
            and (folder.st_mode & 0o7777, folder.st_uid) == (0o755, self.uid)
        )

    def matches(self, path: str) -> bool:
        """Tell whether a generation's key is that of the first certificate of its chain."""
        try:
            ours = self.openssl("pkey", "-in", os.path.join(path, KEY), "-pubout")
            theirs = self.openssl("x509", "-in", os.path.join(path, CHAIN), "-noout", "-pubkey")
        except CertificateError:
            return False
        return ours == theirs

    def _kind(self, key: str) -> str:
        """Return ec (P-256) or rsa for a key that can be kept, else nothing."""
        try:
            text = self.openssl("pkey", "-in", key, "-noout", "-text_pub")
        except CertificateError:
            return ""
        if "prime256v1" in text:
            return "ec"
        return "rsa" if "Modulus:" in text else ""

    def openssl(self, *arguments: str) -> str:
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
        seen = files.see(path)
        if seen is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return seen.content

    def _write(self, path: str, data: bytes, mode: int, gid: int | None = None) -> None:
        files.write(path, data, mode, self.uid, -1 if gid is None else gid)

    def _replace(self, path: str, data: bytes) -> None:
        fresh = self._at(GENERATIONS, ".ca")
        self._write(fresh, data, 0o644)
        files.rename(fresh, path)


def _public_digest(public: str) -> str:
    """Return the SHA-256 of a public key in PEM."""
    return hashlib.sha256(base64.b64decode("".join(public.splitlines()[1:-1]))).hexdigest()


def chain_of(text: str) -> list[bytes]:
    """Return the certificates in a text, in order, in DER; nothing where one is damaged."""
    blocks = re.findall(f"{ssl.PEM_HEADER}.*?{ssl.PEM_FOOTER}", text, re.DOTALL)
    try:
        return [ssl.PEM_cert_to_DER_cert(block) for block in blocks]
    except ValueError:
        return []
