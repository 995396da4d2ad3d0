"""One component in OpenVINO's form, with and without its optional inputs, each made when it is first called."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from sdrt.arrays import Array
from sdrt.backends.openvino.conversion import convert, keep, kept_names
from sdrt.backends.openvino.options import OpenVinoOptions
from sdrt.errors import BackendError, ConfigError
from sdrt.forking import ForkLock
from sdrt.log import log
from sdrt.models import ComponentName

__all__ = ["Programs"]


# These run many times at one size: compiled for that size alone they take 7% less time than compiled for any (measured on two Zen cores).
_ONE_SIZE: tuple[ComponentName, ...] = ("unet", "controlnet")
# Each holds the weights anew, laid out for its size.
_SIZES_KEPT = 2

_Key: TypeAlias = tuple[tuple[str, tuple[int, ...] | None], ...]


@dataclass(frozen=True)
class _Compiled:
    """A compiled model, and requests that wait for their next call: each has memory of its own, and serves one call at a time."""

    model: Any
    idle: list[Any] = field(default_factory=list)


class Programs:
    """Compiled models by what they take; safe in threads.

    Parameters
    ----------
    component : ComponentName
    options : OpenVinoOptions
    key : str or None
        Under which conversions are kept; None where none are.
    open_module : callable
        Opens the component's torch module; called once if the cache is empty.

    Attributes
    ----------
    tensor_names : list of str, or None
        What an earlier conversion holds of the component's tensors; None where there is none.

    Raises
    ------
    ConfigError : the device is not here
    """

    def __init__(self, component: ComponentName, options: OpenVinoOptions, key: str | None, open_module: Callable[[], Any]) -> None:
        import openvino

        self._component, self._options, self._key, self._open_module = component, options, key, open_module
        self._core = openvino.Core()
        try:
            self._core.get_property(options.device, "FULL_DEVICE_NAME")
        except RuntimeError as error:
            found = ", ".join(self._core.available_devices)
            raise ConfigError(f"device {options.device!r} is not available; OpenVINO finds {found}") from error
        if options.cache is not None:
            self._core.set_property({"CACHE_DIR": str(options.cache / "compiled")})
        self._lock = ForkLock()
        self._compiled: dict[_Key, _Compiled] = {}
        self._converted: dict[tuple[str, ...], Any] = {}
        # opened at once if it will be needed, so that weights that do not fit raise when the component is opened
        kept = [] if key is None else self._kept(key)
        self._module = None if kept else open_module()
        self.tensor_names = kept_names(kept[0]) if kept else None

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """All outputs, in order, as arrays of their own."""
        sized = self._component in _ONE_SIZE
        key = tuple((name, x.shape if sized else None) for name, x in inputs.items())
        with self._lock:
            if key not in self._compiled:
                while len(self._compiled) >= _SIZES_KEPT:
                    del self._compiled[next(iter(self._compiled))]
                self._compiled[key] = _Compiled(self._compile(inputs, sized))
            compiled = self._compiled[key]
            request = compiled.idle.pop() if compiled.idle else compiled.model.create_infer_request()
        results = request.infer(list(inputs.values()))
        outputs = [results[index].copy() for index in range(len(results))]
        with self._lock:
            compiled.idle.append(request)
        return outputs

    def close(self) -> None:
        """Let go of everything; a call that runs keeps what it needs to its end."""
        with self._lock:
            self._compiled, self._converted, self._module = {}, {}, None

    def _compile(self, inputs: Mapping[str, Array], sized: bool) -> Any:
        start = time.perf_counter()
        log.info("%s: preparing for OpenVINO, which takes a while the first time", self._component)
        try:
            model = self._model(inputs)
            if sized:
                model.reshape({port: list(x.shape) for port, x in zip(model.inputs, inputs.values(), strict=True)})
            compiled = self._core.compile_model(model, self._options.device, self._options.properties())
        except RuntimeError as error:
            reason = str(error).strip().split("\n")[-1]
            raise BackendError(
                f"{self._component}: OpenVINO cannot run it on {self._options.device} with {self._options.hint} ({reason}); "
                "take another device or dtype, or backend 'torch'"
            ) from error
        log.info("%s: prepared in %.1f s", self._component, time.perf_counter() - start)
        return compiled

    def _model(self, inputs: Mapping[str, Array]) -> Any:
        """Return the component for inputs of these names and any size, as a copy that may be changed."""
        from sdrt.backends.torch.filling import parameters_by_name

        names = tuple(inputs)
        if self._key is not None and (kept := self._folder(self._key, names) / "model.xml").is_file():
            return self._core.read_model(str(kept))
        if names not in self._converted:
            module, self._module = self._module or self._open_module(), None
            tensors, converted = parameters_by_name(module, self._component).keys(), convert(module, inputs)
            if self._key is not None:
                try:
                    return self._core.read_model(str(keep(converted, tensors, self._folder(self._key, names))))
                except OSError as error:
                    raise ConfigError(f"cache_dir {str(self._options.cache)!r} cannot be written ({error}); None keeps nothing") from error
            self._converted[names] = converted
        return self._converted[names].clone()

    def _folder(self, key: str, names: tuple[str, ...]) -> Path:
        if self._options.cache is None:
            raise BackendError("a key of kept models needs a cache_dir")
        return self._options.cache / f"{self._component}-{key}-{len(names)}"

    def _kept(self, key: str) -> list[Path]:
        return [] if self._options.cache is None else [*self._options.cache.glob(f"{self._component}-{key}-*/model.xml")]
