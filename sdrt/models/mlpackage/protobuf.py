"""A reader of protobuf's wire format: fields by number, every length checked against what is there.

Nothing is copied: a message is a view of the bytes below it. What a field means is up to the caller (`sdrt.models.mlpackage.spec`).

Source: https://protobuf.dev/programming-guides/encoding/
"""

import struct
from collections.abc import Iterator
from typing import Never

from sdrt.errors import ModelError

__all__ = ["Message"]

_DEPTH = 100  # messages inside messages; protobuf's own readers stop there as well
_KINDS = {0: "a varint", 1: "eight bytes", 2: "a length-prefixed run", 5: "four bytes"}


class Message:
    """The fields of one message.

    Parameters
    ----------
    data : bytes or memoryview
        The whole message.
    place : str
        Where it stands, for messages: the file, then the path inside it.
    depth : int
        How many messages it stands in.

    Raises
    ------
    ModelError : the bytes are no message

    >>> Message(bytes([0x08, 0x96, 0x01, 0x12, 0x02, 0x68, 0x69]), "x").text(2)
    'hi'
    """

    __slots__ = ("_depth", "_fields", "place")

    def __init__(self, data: bytes | memoryview, place: str, depth: int = 0) -> None:
        self.place = place
        self._depth = depth
        if depth > _DEPTH:
            self.fail(f"messages are nested more than {_DEPTH} deep")
        self._fields: dict[int, list[tuple[int, int | memoryview]]] = {}
        self._read(memoryview(data))

    def fail(self, problem: str) -> Never:
        """Raise what `problem` gives."""
        raise self.problem(problem)

    def problem(self, words: str) -> ModelError:
        """Make an error that names the place."""
        return ModelError(f"{self.place}: {words}; the file is damaged, fetch or convert it again")

    def has(self, number: int) -> bool:
        """Whether the field is there."""
        return number in self._fields

    def first_of(self, *numbers: int) -> int | None:
        """Which of a oneof's fields is there; the last one written wins in protobuf, and writers write one."""
        return next((number for number in numbers if number in self._fields), None)

    def integer(self, number: int, default: int = 0) -> int:
        """Read an int32, int64, enum or bool field: two's complement of 64 bits."""
        values = self._of_kind(number, 0)
        return _signed(values[-1]) if values else default

    def unsigned(self, number: int, default: int = 0) -> int:
        """Read a uint32 or uint64 field."""
        values = self._of_kind(number, 0)
        return values[-1] if values else default

    def float32(self, number: int) -> float:
        """Read a float field."""
        values = self._of_kind(number, 5)
        return float(struct.unpack("<f", struct.pack("<I", values[-1]))[0]) if values else 0.0

    def float64(self, number: int) -> float:
        """Read a double field."""
        values = self._of_kind(number, 1)
        return float(struct.unpack("<d", struct.pack("<Q", values[-1]))[0]) if values else 0.0

    def text(self, number: int) -> str:
        """Read a string field; empty where it is missing."""
        runs = self.runs(number)
        return self._decode(runs[-1]) if runs else ""

    def texts(self, number: int) -> tuple[str, ...]:
        """Read a repeated string field."""
        return tuple(map(self._decode, self.runs(number)))

    def runs(self, number: int) -> list[memoryview]:
        """Read a repeated bytes field."""
        return [value for value in self._values(number, 2) if isinstance(value, memoryview)]

    def message(self, number: int, name: str) -> "Message":
        """Read a message field; empty where it is missing."""
        runs = self.runs(number)
        return Message(runs[-1] if runs else b"", f"{self.place}.{name}", self._depth + 1)

    def messages(self, number: int, name: str) -> Iterator["Message"]:
        """Read a repeated message field, or the entries of a map."""
        for index, run in enumerate(self.runs(number)):
            yield Message(run, f"{self.place}.{name}[{index}]", self._depth + 1)

    def entries(self, number: int, name: str) -> Iterator[tuple[str, "Message"]]:
        """Read a map from strings to messages."""
        for entry in self.messages(number, name):
            key = entry.text(1)
            yield key, Message(entry.runs(2)[-1] if entry.runs(2) else b"", f"{self.place}.{name}[{key!r}]", self._depth + 1)

    def integers(self, number: int) -> list[int]:
        """Read a repeated int32, int64, enum or bool field, packed or not."""
        numbers: list[int] = []
        for kind, value in self._fields.get(number, ()):
            if kind == 0 and isinstance(value, int):
                numbers.append(_signed(value))
            elif isinstance(value, memoryview):
                numbers.extend(map(_signed, self._varints(value)))
            else:
                self.fail(f"field {number} should hold integers, and holds {_KINDS[kind]}")
        return numbers

    def packed(self, number: int, size: int) -> bytes:
        """Read the bytes of a repeated float (``size`` 4) or double (8) field, packed or not."""
        runs: list[bytes] = []
        for kind, value in self._fields.get(number, ()):
            if isinstance(value, memoryview):
                if len(value) % size:
                    self.fail(f"field {number} holds {len(value)} bytes, which are not whole numbers of {size}")
                runs.append(bytes(value))
            elif kind == (5 if size == 4 else 1):
                runs.append(value.to_bytes(size, "little"))
            else:
                self.fail(f"field {number} should hold numbers of {size} bytes, and holds {_KINDS[kind]}")
        return b"".join(runs)

    def _of_kind(self, number: int, kind: int) -> list[int]:
        return [value for value in self._values(number, kind) if isinstance(value, int)]

    def _values(self, number: int, kind: int) -> list[int | memoryview]:
        fields = self._fields.get(number, [])
        for have, _ in fields:
            if have != kind:
                self.fail(f"field {number} should be {_KINDS[kind]}, and is {_KINDS[have]}")
        return [value for _, value in fields]

    def _decode(self, run: memoryview) -> str:
        try:
            return str(run, "utf-8")
        except UnicodeDecodeError:
            self.fail("a string is not UTF-8")

    def _read(self, data: memoryview) -> None:
        at, end = 0, len(data)
        while at < end:
            tag, at = self._varint(data, at)
            number, kind = tag >> 3, tag & 7
            value: int | memoryview
            if kind == 0:
                value, at = self._varint(data, at)
            elif kind == 2:
                size, at = self._varint(data, at)
                if size > end - at:
                    self.fail(f"field {number} says it is {size} bytes long where {end - at} are left")
                value = data[at : at + size]
                at += size
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
                if size > end - at:
                    self.fail(f"field {number} is cut off")
                value = int.from_bytes(data[at : at + size], "little")
                at += size
            else:
                self.fail(f"field {number} has wire type {kind}, which nothing here uses")
            if number == 0:
                self.fail("a field has number 0")
            self._fields.setdefault(number, []).append((kind, value))

    def _varint(self, data: memoryview, at: int) -> tuple[int, int]:
        value = shift = 0
        for byte in data[at : at + 10]:
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
        raise self.problem("a number is cut off or longer than 64 bits")

    def _varints(self, data: memoryview) -> Iterator[int]:
        at = 0
        while at < len(data):
            value, at = self._varint(data, at)
            yield value


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
