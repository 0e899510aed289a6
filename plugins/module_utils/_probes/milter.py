# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be asked of a milter, as Postfix asks it (MILTER_README): what it does with a message."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .base import Conversation, Endpoint

VERSION, ACTIONS = 6, 0x1FF  # as Postfix offers them
# The milter may say that it does not answer a step (SMFIP_NR_...), by its command; it may leave out none.
SILENT = {b"L": 0x80, b"C": 0x1000, b"H": 0x2000, b"M": 0x4000, b"R": 0x8000, b"N": 0x40000, b"B": 0x80000}
LONGEST = 1 << 20
MOST = 1000  # packets of one answer
_FIELDS, _END = (b"h", b"i"), (b"a", b"c", b"r", b"t", b"y")  # a field is added; the dialogue has its answer
VERDICTS = {b"a": "accept", b"c": "accept", b"r": "reject", b"t": "tempfail", b"y": "reply"}


@dataclass(frozen=True)
class MilterAnswer:
    """verdict: accept, reject, tempfail or reply, which has a text. fields: names of the header fields that it adds."""

    verdict: str
    text: str = ""
    fields: tuple[str, ...] = ()


class Milter(Conversation):
    """One message of one client, step by step."""

    protocol = 0  # bits of what it does not answer

    def negotiate(self) -> None:
        self.say(b"O", struct.pack(">III", VERSION, ACTIONS, sum(SILENT.values())))
        command, data = self.packet()
        if command != b"O" or len(data) < 12:
            raise self.broken("it does not negotiate")
        (self.protocol,) = struct.unpack(">I", data[8:12])

    def packet(self) -> tuple[bytes, bytes]:
        """The next packet: its command and its data."""
        (size,) = struct.unpack(">I", self.exactly(4))
        if not 0 < size <= LONGEST:
            raise self.broken("not a milter's answer")
        data = self.exactly(size)
        return data[:1], data[1:]

    def say(self, command: bytes, data: bytes = b"") -> None:
        self.send(struct.pack(">I", len(data) + 1) + command + data, f"milter command {command.decode()}")

    def step(self, command: bytes, data: bytes = b"") -> tuple[str, str, list[str]]:
        """What it answers to one step: verdict, text and added fields."""
        self.say(command, data)
        fields: list[str] = []
        if self.protocol & SILENT.get(command, 0):
            return "accept", "", fields
        for _number in range(MOST):
            answer, said = self.packet()
            if answer in _FIELDS:
                name = said[4:] if answer == b"i" else said
                fields.append(name.partition(b"\0")[0].decode("ascii", "replace"))
            elif answer in _END:
                return VERDICTS[answer], said.rstrip(b"\0").decode("ascii", "replace"), fields
        raise self.broken("it comes to no end")


def milter_message(
    e: Endpoint,
    sender: str,
    recipient: str,
    header: Sequence[tuple[str, str]],
    macros: Mapping[str, str],
    client: str = "127.0.0.1",
) -> MilterAnswer:
    """What does it do with a message? macros: what it is told at the beginning, such as daemon_name.

    client: from which IPv4 address the message is said to come.
    """
    with Milter(e) as milter:
        milter.negotiate()
        words = [word for name, value in macros.items() for word in (f"{{{name}}}" if len(name) > 1 else name, value)]
        milter.say(b"D", b"C" + _strings(*words))
        steps = [
            (b"C", _strings("localhost") + b"4" + struct.pack(">H", 25) + _strings(client)),
            (b"H", _strings("localhost")),
            (b"M", _strings(f"<{sender}>")),
            (b"R", _strings(f"<{recipient}>")),
            *((b"L", _strings(*field)) for field in header),
            (b"N", b""),
            (b"B", b"\r\n"),
            (b"E", b""),
        ]
        for command, data in steps:
            verdict, text, fields = milter.step(command, data)
            if verdict != "accept":
                break
        return MilterAnswer(verdict, text, tuple(fields))


def _strings(*words: str) -> bytes:
    return b"".join(word.encode() + b"\0" for word in words)
