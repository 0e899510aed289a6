# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A name server on a port of loopback, which a test gives its records and its moods."""

from __future__ import annotations

import contextlib
import socket
import threading
import typing as t

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class NameServer:
    """Answers questions for TXT by UDP. mood: right, silent, or the name of an error, such as servfail."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}  # by name; none where the name exists and has no text
        self.aliases: dict[str, str] = {}
        self.mood = "right"
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def resolver(self) -> str:
        return f"127.0.0.1#{self._socket.getsockname()[1]}"

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(self, *_given: t.Any) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread up
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                data, client = self._socket.recvfrom(4096)
            except OSError:
                return
            if not data:
                return
            answer = self._answer(dns.message.from_wire(data))
            if answer is not None:
                self._socket.sendto(answer.to_wire(), client)

    def _answer(self, question: dns.message.Message) -> dns.message.Message | None:
        if self.mood == "silent":
            return None
        reply = dns.message.make_response(question, recursion_available=True)
        name = question.question[0].name.to_text().rstrip(".").lower()
        self.asked.append(name)
        if self.mood != "right":
            reply.set_rcode(dns.rcode.from_text(self.mood.upper()))
            return reply
        if name in self.aliases:
            target = self.aliases[name]
            reply.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", f"{target}."))
            name = target
        if name not in self.texts:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif self.texts[name]:
            records = [
                " ".join(f'"{text[i : i + 255]}"' for i in range(0, len(text), 255)) for text in self.texts[name]
            ]
            reply.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "TXT", *records))
        return reply
