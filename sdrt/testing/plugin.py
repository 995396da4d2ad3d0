"""The pytest plug-in: ``pytest --sdrt-scheduler mypackage:MyDDIM --sdrt-like DDIMScheduler`` checks a port as one test among the others.

Without its options it adds nothing, and imports nothing but pytest.
"""

import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sdrt.testing.fault import Fault

__all__ = ["pytest_addoption", "pytest_collection_modifyitems"]

# The options that name a port, and what each is.
_PORTS = {
    "backend": "a backend: a class or an object of the protocol sdrt.backends.Backend, or the name of one that is installed",
    "scheduler": "a scheduler: a class or a function of diffusers' settings, or a plain function of a step",
    "stream": "a noise stream: a function of (seed, shape), or a class with normal(shape)",
    "tokenizer": "a tokenizer: a function from a prompt to ids",
    "loop": "a sampling loop: a function of (networks, call)",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the group sdrt."""
    group = parser.getgroup("sdrt", "check your own port of Stable Diffusion's parts (sdrt.testing)")
    for name, what in _PORTS.items():
        group.addoption(f"--sdrt-{name}", action="append", default=[], metavar="PACKAGE:NAME", help=f"check {what}")
    group.addoption("--sdrt-like", default="DDIMScheduler", metavar="CLASS", help="the class that --sdrt-scheduler is checked as")
    group.addoption("--sdrt-settings", default="{}", metavar="JSON", help="settings that --sdrt-scheduler always has")
    group.addoption("--sdrt-stream-like", default="torch", metavar="STREAM", help="the stream that --sdrt-stream is checked as")
    group.addoption("--sdrt-pad-token", default="<|endoftext|>", metavar="TOKEN", help="what --sdrt-tokenizer pads with: ! in SD 2.x")
    group.addoption("--sdrt-bound", type=float, default=None, metavar="NUMBER", help="how far --sdrt-backend may be off: 1e-2 for float16")


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose among the tests
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test for each port that an option names."""
    items += [
        PortItem.from_parent(session, name=f"sdrt-{kind}[{spec}]", nodeid=f"sdrt-{kind}[{spec}]", kind=kind, spec=spec)
        for kind in _PORTS
        for spec in config.getoption(f"--sdrt-{kind}")
    ]


class ReportError(Exception):
    """A report that is shown as it is: the faults of a port, one a line, or that there is no such port or option."""


class PortItem(pytest.Item):
    """The test of one port."""

    def __init__(self, *, kind: str, spec: str, **options: Any) -> None:
        super().__init__(**options)
        self._kind, self._spec = kind, spec

    def runtest(self) -> None:
        """Check the port."""
        from sdrt.errors import ConfigError

        with _searched(str(self.config.invocation_params.dir)):
            port = _load(self._spec)
            try:
                faults = _CHECKS[self._kind](port, self.config)
            except ConfigError as error:  # of the options; what a port raises is a fault
                raise ReportError(str(error)) from error
        if faults:
            raise ReportError("\n".join(map(str, faults)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *rest: Any) -> Any:
        """Show the faults alone, one a line."""
        return str(excinfo.value) if isinstance(excinfo.value, ReportError) else super().repr_failure(excinfo, *rest)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Say what was checked."""
        return self.config.rootpath, None, self.name


def _load(spec: str) -> Any:
    """Return what ``package.module:name`` names; a name alone is an installed backend."""
    module, separator, names = spec.partition(":")
    if not separator:
        return spec
    try:
        found: Any = importlib.import_module(module)
        for name in names.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise ReportError(f"a port must be package.module:name, got {spec!r}, which cannot be imported: {error}") from error
    return found


@contextmanager
def _searched(folder: str) -> Iterator[None]:
    """Let the folder that pytest was started in be searched for modules."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _check_backend(backend: Any, config: pytest.Config) -> "list[Fault]":
    from sdrt.testing import check_backend

    owner: Any = backend() if inspect.isclass(backend) else backend
    return check_backend(owner, bound=config.getoption("--sdrt-bound"))


def _check_scheduler(make: Any, config: pytest.Config) -> "list[Fault]":
    from sdrt.testing import check_scheduler

    return check_scheduler(make, config.getoption("--sdrt-like"), settings=_settings(config.getoption("--sdrt-settings")))


def _settings(text: str) -> dict[str, Any]:
    from sdrt.errors import ConfigError

    try:
        settings = json.loads(text)
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise ConfigError(f"--sdrt-settings must be a JSON object, got {text!r}; write one such as '{{\"clip_sample\": false}}'")
    return settings


def _check_stream(stream: Any, config: pytest.Config) -> "list[Fault]":
    from sdrt.testing import check_stream

    return check_stream(stream, config.getoption("--sdrt-stream-like"))


def _check_tokenizer(encode: Any, config: pytest.Config) -> "list[Fault]":
    from sdrt.testing import check_tokenizer

    return check_tokenizer(encode, pad_token=config.getoption("--sdrt-pad-token"))


def _check_loop(generate: Any, config: pytest.Config) -> "list[Fault]":  # noqa: ARG001
    from sdrt.testing import check_loop

    return check_loop(generate)


_CHECKS: "dict[str, Callable[[Any, pytest.Config], list[Fault]]]" = {
    "backend": _check_backend,
    "scheduler": _check_scheduler,
    "stream": _check_stream,
    "tokenizer": _check_tokenizer,
    "loop": _check_loop,
}
