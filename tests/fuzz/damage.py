"""Damage to files: bytes that flip, files that end early, JSON with a value of another kind, things that are no files."""

import contextlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz.drawing import Draw, overwrite
from tests.fuzz.values import HOSTILE_TEXTS, json_value, near

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
HEADS = (
    LFS_POINTER,
    b"PK\x03\x04",
    b"\x80\x02}q\x00",
    b"GGUF\x03\x00\x00\x00",
    b"\x89PNG\r\n\x1a\n",
    b"<!DOCTYPE html>",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
)
LENGTHS = (0, 1, 7, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
_LATER = "@raw-json@"


def damaged(draw: Draw, data: bytes, head: int = 4_096) -> bytes:
    """Return data with one to three things wrong, three in four of them within the first ``head`` bytes."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        change = draw.choice(_CHANGES)
        draw.note(change.__name__)
        data = change(draw, data, draw.randrange(max(1, min(len(data), head) if draw.chance(0.75) else len(data))))
    return data


def _flip(draw: Draw, data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    for place in range(at, min(at + draw.choice((1, 1, 2, 8)), len(data))):
        changed[place] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(draw: Draw, data: bytes, at: int) -> bytes:
    return data[:at]


def _cut_out(draw: Draw, data: bytes, at: int) -> bytes:
    return data[:at] + data[at + draw.randint(1, 64) :]


def _repeat(draw: Draw, data: bytes, at: int) -> bytes:
    return data[:at] + data[at : at + draw.randint(1, 256)] * draw.choice((2, 3, 100)) + data[at:]


def _splice(draw: Draw, data: bytes, at: int) -> bytes:
    other = draw.randrange(max(1, len(data)))
    return data[:at] + data[other : other + draw.randint(1, 256)] + data[at:]


def _length(draw: Draw, data: bytes, at: int) -> bytes:
    packed = struct.pack("<Q", draw.choice(LENGTHS))[: draw.choice((4, 8))]
    at = draw.choice((0, at, at // 8 * 8))
    return data[:at] + packed + data[at + len(packed) :]


def _noise(draw: Draw, data: bytes, at: int) -> bytes:
    return data[:at] + draw.randbytes(draw.randint(1, 64)) + data[at + 64 :]


def _zeros(draw: Draw, data: bytes, at: int) -> bytes:
    return data[:at] + bytes(draw.randint(1, 512)) + data[at + 512 :]


def _head(draw: Draw, data: bytes, at: int) -> bytes:
    head = draw.choice(HEADS)
    return head if draw.chance(0.5) else head + data


def _text(draw: Draw, data: bytes, at: int) -> bytes:
    return data[:at] + draw.choice(HOSTILE_TEXTS).encode("utf-8", "surrogatepass") + data[at:]


_CHANGES: tuple[Callable[[Draw, bytes, int], bytes], ...] = (
    _flip,
    _flip,
    _cut,
    _cut_out,
    _repeat,
    _splice,
    _length,
    _noise,
    _zeros,
    _head,
    _text,
)


# ---- JSON


def damaged_json(draw: Draw, content: Any) -> tuple[bytes, list[tuple[tuple[Any, ...], Any]]]:
    """Return JSON with one to three values changed, or damaged as a file, and the changes: path and new value."""
    if draw.chance(0.15):
        data = damaged(draw, dump(content))
        return (draw.choice((b"\xef\xbb\xbf", b" " * 5_000, b"")) + data) if draw.chance(0.3) else data, []
    content = json.loads(json.dumps(content))
    changes = []
    for _ in range(draw.choice((1, 1, 2, 3))):
        path = _random_path(draw, content)
        kind = draw.random()
        if not path or kind < 0.03:
            content = json_value(draw)
            changes.append(((), content))
            draw.note(f"the whole is {str(content)[:60]}")
            break
        holder = content
        for key in path[:-1]:
            holder = holder[key]
        if kind < 0.15:
            del holder[path[-1]]
            draw.note(f"without {path}")
            continue
        if kind < 0.25 and isinstance(holder, dict):
            key = draw.choice(HOSTILE_TEXTS) if draw.chance(0.7) else f"{path[-1]}_2"
            holder[key] = json_value(draw)
            draw.note(f"with {path[:-1]} {key[:40]}")
            continue
        old = holder[path[-1]]
        value = near(draw, old, json_value) if draw.chance(0.4) else json_value(draw)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogatepass")
        holder[path[-1]] = _LATER if draw.chance(0.02) else value
        changes.append((path, value))
        draw.note(f"{path} = {str(value)[:60] if not isinstance(value, int) else hex(value)[:60]}")
    return dump(content), [(path, value) for path, value in changes if _is_at(content, path, value)]


def _is_at(content: Any, path: tuple[Any, ...], value: Any) -> bool:
    """Whether a change was not undone by a later one."""
    try:
        for key in path:
            content = content[key]
    except (KeyError, IndexError, TypeError):
        return False
    return content is value or content == value


def dump(content: Any) -> bytes:
    """Return JSON; the text of `_LATER` becomes 2,000 lists in each other, which ``json.dumps`` cannot write."""
    text = "".join(json.JSONEncoder(allow_nan=True, default=str).iterencode(_writable(content)))
    return text.replace(f'"{_LATER}"', "[" * 2_000 + "]" * 2_000).encode()


def _writable(value: Any) -> Any:
    """Python refuses to write whole numbers of more than 4,300 digits; those here have 400."""
    return value


def _random_path(draw: Draw, content: Any) -> tuple[Any, ...]:
    path: tuple[Any, ...] = ()
    while isinstance(content, dict | list) and content and (not path or draw.chance(0.6)):
        key = draw.choice(list(content)) if isinstance(content, dict) else draw.randrange(len(content))
        path, content = (*path, key), content[key]
    return path


def damaged_file(draw: Draw, file: Path, data: bytes | None = None, head: int = 4_096) -> None:
    """Damage a file where it lies: its bytes, or what lies under its name."""
    if draw.chance(0.12):
        return _no_file(draw, file)
    return overwrite(file, damaged(draw, file.read_bytes() if data is None else data, head))


def _no_file(draw: Draw, file: Path) -> None:
    """Put something else in a file's place."""
    file.unlink(missing_ok=True)
    kind = draw.choice(("nothing", "empty", "folder", "loop", "pipe", "zero", "dangling"))
    draw.note(f"{file.name} is {kind}")
    if kind == "empty":
        file.write_bytes(b"")
    elif kind == "folder":
        file.mkdir()
    elif kind == "dangling":
        file.symlink_to("nowhere")
    elif kind == "loop":
        file.symlink_to(file.name)
    elif kind == "pipe" and hasattr(os, "mkfifo"):
        os.mkfifo(file)
    elif kind == "zero" and Path("/dev/zero").exists():
        with contextlib.suppress(OSError):
            file.symlink_to("/dev/zero")
