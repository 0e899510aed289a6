# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The world as a sending host sees it: policies over HTTPS, and servers that take mail over TLS.

It runs on the host itself, in a network of its own (ip-netns(8)), so that its servers have their usual ports:
`world_servers.py FILE` serves what the JSON file says until it is killed.

policies: by the name of an HTTPS server, what it answers: text, or {"repeat": a text, "times": a number}, which it
packs, or {"wait": seconds}. certificates: files of key and chain, by the server's name for HTTPS, by address for SMTP.
mail: a file, to which goes one line of JSON for each message: server, version of TLS, recipients, subject.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import sys
from typing import Any

WEB = "192.0.2.80"


class Web:
    """Serves policies."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.policies = said["policies"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        name = next(line.partition(": ")[2] for line in head.splitlines() if line.lower().startswith("host:"))
        policy = self.policies.get(name)
        print(name, head.split()[1], flush=True)
        if policy is None or head.split()[1] != "/.well-known/mta-sts.txt":
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        elif isinstance(policy, str):
            writer.write(_reply(policy.encode()))
        elif "wait" in policy:
            await asyncio.sleep(policy["wait"])
        else:
            writer.write(
                _reply(gzip.compress(policy["repeat"].encode() * policy["times"]), "Content-Encoding: gzip\r\n")
            )
        try:
            await writer.drain()
        finally:
            writer.close()


def _reply(body: bytes, more: str = "") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Mail:
    """Takes mail at one address, where TLS has been started and where not."""

    def __init__(self, address: str, context: ssl.SSLContext, path: str) -> None:
        self.address, self.context, self.path = address, context, path

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients: list[str] = []
        writer.write(b"220 world ESMTP\r\n")
        while line := await reader.readline():
            words = line.decode().strip()
            verb = words[:4].upper()
            if verb == "EHLO":
                tls = writer.get_extra_info("ssl_object")
                writer.write(b"250 world\r\n" if tls else b"250-world\r\n250 STARTTLS\r\n")
            elif words.upper() == "STARTTLS":
                writer.write(b"220 go on\r\n")
                await writer.drain()
                await writer.start_tls(self.context)
            elif verb == "RCPT":
                recipients.append(words.partition("<")[2].partition(">")[0])
                writer.write(b"250 yes\r\n")
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                text = (await reader.readuntil(b"\r\n.\r\n")).decode()
                self._keep(recipients, text, writer.get_extra_info("ssl_object"))
                recipients = []
                writer.write(b"250 taken\r\n")
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 yes\r\n")
        writer.close()

    def _keep(self, recipients: list[str], text: str, tls: ssl.SSLObject | None) -> None:
        subject = next(line[9:] for line in text.splitlines() if line.startswith("Subject: "))
        line = json.dumps([self.address, tls.version() if tls else "", recipients, subject])
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def _context(files: list[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    return context


async def main(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        said = json.load(file)
    contexts = {name: _context(files) for name, files in said["certificates"].items()}
    web = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def by_name(link: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int | None:
        link.context = contexts.get(name or "", web)
        return None

    web.sni_callback = by_name
    await asyncio.start_server(Web(said).serve, WEB, 443, ssl=web)
    for address, context in contexts.items():
        if address[0].isdigit():
            await asyncio.start_server(Mail(address, context, said["mail"]).serve, address, 25)
    print("serves", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
