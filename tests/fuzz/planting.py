"""Faults in the gate and in readers, one each, which the suite has to see."""

from collections.abc import Callable
from typing import Any

import pytest

from sdrt import errors, files, limits, printable, values
from tests.fuzz.judging import CONTROL, LINES, LONG, MEMORY, OTHER, SILENT, TIME

Plant = Callable[[pytest.MonkeyPatch], None]


def _everything(self: Any, value: Any) -> Any:
    return value


def whole_numbers_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(values.Integer, "convert", _everything)


def numbers_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(values.Number, "convert", _everything)


def flags_are_taken_for_truth(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(values.Flag, "convert", lambda self, value: bool(value))


def texts_are_made_of_anything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(values.Text, "convert", lambda self, value: str(value))


def choices_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(values.Choice, "convert", _everything)


def lists_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(values.ListOf, "convert", _everything)


def messages_are_raw(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(errors, "printable", lambda text: text)
    patch.setattr(values, "shown", str)


def reprs_fail(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(values, "shown", repr)


def nothing_is_cut(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(printable, "MESSAGE_LENGTH", 10**9)
    patch.setattr(errors, "printable", lambda text: printable.printable(text, 10**9))
    patch.setattr(values, "shown", lambda value: printable.printable(repr(value), 10**9))


def nothing_is_limited(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(limits.Limits, "check", lambda *_, **__: None)


def files_are_opened_as_they_come(patch: pytest.MonkeyPatch) -> None:
    def read_text(file: Any, *_: Any, **__: Any) -> str:
        text: str = file.read_text()
        return text

    for module in _holders("read_text", files.read_text):
        patch.setattr(module, "read_text", read_text)


def json_is_read_without_a_gate(patch: pytest.MonkeyPatch) -> None:
    import json

    from sdrt import json_text

    for module in _holders("parse_json", json_text.parse_json):
        patch.setattr(module, "parse_json", lambda text, *_, **__: json.loads(text))


def headers_are_believed(patch: pytest.MonkeyPatch) -> None:
    import json
    import struct

    from sdrt.models import safetensors_file

    def read_header(file: Any, *_: Any, **__: Any) -> Any:
        data = file.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        return header, 8 + length

    patch.setattr(safetensors_file, "_read_header", read_header)


def protobuf_is_not_counted(patch: pytest.MonkeyPatch) -> None:
    from sdrt.models.mlpackage import protobuf

    def varint(self: Any, data: memoryview, at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (data[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 128:
                return value, at

    patch.setattr(protobuf.Message, "_varint", varint)


def _holders(name: str, function: Any) -> list[Any]:
    """The modules that hold a function under its own name."""
    import sys

    return [module for key, module in list(sys.modules.items()) if key.startswith("sdrt") and vars(module).get(name) is function]


# By fault: a generator that meets it, and the columns in which it may be counted.
FAULTS: dict[Plant, tuple[str, set[str]]] = {
    whole_numbers_pass: ("noise-streams", {OTHER, SILENT}),
    numbers_pass: ("guidance-parts", {OTHER, SILENT}),
    flags_are_taken_for_truth: ("scheduler-config", {OTHER, SILENT}),
    texts_are_made_of_anything: ("settings-dict", {SILENT}),
    choices_pass: ("convert-options", {OTHER, SILENT}),
    lists_pass: ("scheduler-config", {OTHER, SILENT}),
    messages_are_raw: ("convert-options", {LINES, CONTROL}),
    reprs_fail: ("convert-options", {OTHER}),
    nothing_is_cut: ("convert-options", {LONG}),
    nothing_is_limited: ("prompt-pictures", {TIME, MEMORY}),
    files_are_opened_as_they_come: ("tokenizer-files", {OTHER}),
    json_is_read_without_a_gate: ("component-config", {OTHER}),
    headers_are_believed: ("safetensors", {OTHER}),
    protobuf_is_not_counted: ("coreml-model", {OTHER}),
}
