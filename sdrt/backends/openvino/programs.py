"""One part in OpenVINO's form, with and without its optional inputs, each made when it is first called."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sdrt.arrays import Array
from sdrt.backends.openvino.conversion import convert, keep
from sdrt.backends.openvino.options import OpenVinoOptions
from sdrt.errors import BackendError, ConfigError
from sdrt.models import Part

__all__ = ["Programs"]

_log = logging.getLogger("sdrt")


class Programs:
    """Compiled models by the names of what they take; safe in threads.

    Parameters
    ----------
    part : Part
    options : OpenVinoOptions
    key : str or None
        Under which conversions are kept; None where none are.
    open_module : callable
        Opens the part's torch module; asked for once where nothing is kept yet.

    Raises
    ------
    ConfigError : the device is not here
    """

    def __init__(self, part: Part, options: OpenVinoOptions, key: str | None, open_module: Callable[[], Any]) -> None:
        import openvino

        self._part, self._options, self._key, self._open_module = part, options, key, open_module
        self._core = openvino.Core()
        try:
            self._core.get_property(options.device, "FULL_DEVICE_NAME")
        except RuntimeError as error:
            raise ConfigError(f"device {options.device!r} is not here; OpenVINO finds {', '.join(self._core.available_devices)}") from error
        if options.cache is not None:
            self._core.set_property({"CACHE_DIR": str(options.cache / "compiled")})
        self._lock = threading.Lock()
        self._compiled: dict[tuple[str, ...], Any] = {}
        self._idle: dict[tuple[str, ...], list[Any]] = {}
        # opened at once where it will be needed, so that weights that do not fit are told when the part is opened
        self._module = None if key is not None and any(self._folders(key)) else open_module()

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """All outputs, in order, as arrays of their own."""
        names = tuple(inputs)
        with self._lock:
            if names not in self._compiled:
                self._compiled[names] = self._compile(names, inputs)
                self._idle[names] = []
            idle = self._idle[names]
            request = idle.pop() if idle else self._compiled[names].create_infer_request()
        found = request.infer(list(inputs.values()))
        outputs = [found[index].copy() for index in range(len(found))]
        with self._lock:
            idle.append(request)
        return outputs

    def close(self) -> None:
        """Let go of everything; a call that runs keeps what it needs to its end."""
        with self._lock:
            self._compiled, self._idle, self._module = {}, {}, None

    def _compile(self, names: tuple[str, ...], inputs: Mapping[str, Array]) -> Any:
        start = time.perf_counter()
        _log.info("%s: preparing for OpenVINO, which takes a while the first time", self._part)
        try:
            source = self._source(names, inputs)
            compiled = self._core.compile_model(source, self._options.device, self._options.properties())
        except RuntimeError as error:
            reason = str(error).strip().split("\n")[-1]
            raise BackendError(
                f"{self._part}: OpenVINO cannot run it on {self._options.device} with {self._options.hint} ({reason}); "
                "take another device or dtype, or backend 'torch'"
            ) from error
        _log.info("%s: prepared in %.1f s", self._part, time.perf_counter() - start)
        return compiled

    def _source(self, names: tuple[str, ...], inputs: Mapping[str, Array]) -> Any:
        """The converted model, or the file in which it is kept."""
        if self._key is not None and (kept := self._folder(self._key, names) / "model.xml").is_file():
            return str(kept)
        module, self._module = self._module or self._open_module(), None
        converted = convert(module, inputs)
        return converted if self._key is None else str(keep(converted, self._folder(self._key, names)))

    def _folder(self, key: str, names: tuple[str, ...]) -> Path:
        if self._options.cache is None:
            raise BackendError("a key of kept models needs a cache_dir")
        return self._options.cache / f"{self._part}-{key}-{len(names)}"

    def _folders(self, key: str) -> list[Path]:
        return [] if self._options.cache is None else [*self._options.cache.glob(f"{self._part}-{key}-*/model.xml")]
