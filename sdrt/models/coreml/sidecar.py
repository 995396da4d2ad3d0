"""``sdrt.json`` beside packages: what our converter knows of a model and no package says."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models.coreml.traced_values import TracedValue, read_traced_values
from sdrt.models.json_file import read_json_if_there
from sdrt.values import Anything, Choice, Kind, MappingOf

__all__ = ["FORMAT", "SIDECAR", "Sidecar"]

SIDECAR = "sdrt.json"
FORMAT = 1  # of the object under "coreml"

_ANYTHING = Anything()
_OBJECT = MappingOf(_ANYTHING)
_REPAIR = "convert the model again"


@dataclass(frozen=True)
class Sidecar:
    """The file, read when first asked.

    Parameters
    ----------
    path : Path
        The folder of the packages.
    allowed : Limits
    """

    path: Path
    allowed: Limits = DEFAULT_LIMITS

    @property
    def file(self) -> Path:
        """Where it lies, there or not."""
        return self.path / SIDECAR

    @cached_property
    def preferences(self) -> Mapping[str, Any]:
        """The model's preferences, as of any model folder."""
        return {key: value for key, value in self._content.items() if key != "coreml"}

    @cached_property
    def configs(self) -> Mapping[str, Mapping[str, Any]]:
        """The configuration of each component, and of the refiner's U-Net as ``refiner``.

        Raises
        ------
        ModelError : something else
        """
        return self.section("configs", _OBJECT)

    @property
    def stated(self) -> Collection[str]:
        """The keys of ``coreml`` that the file has."""
        return self._coreml.keys()

    def controlnet(self, stem: str) -> Mapping[str, Any] | None:
        """Return the configuration of a ControlNet by the stem of its file; None where there is none."""
        return self.section("controlnets", _OBJECT).get(stem)

    def traced_values(self, key: str) -> dict[str, TracedValue]:
        """Return where a package computes the outputs of diffusers' modules, by its role or a ControlNet's stem; empty if unrecorded."""
        return read_traced_values(self.file, self.section("traces").get(key, {}))

    def section(self, key: str, kind: Kind[Any] = _ANYTHING) -> dict[str, Any]:
        """Return the object under a key of ``coreml``, whose values are all of a kind; empty where there is none.

        Raises
        ------
        ModelError : something else
        """
        return MappingOf(kind).check(f"{self.file}: coreml.{key}", self._coreml.get(key, {}), _REPAIR, ModelError)

    @cached_property
    def _content(self) -> Mapping[str, Any]:
        return read_json_if_there(self.file, self.allowed)

    @cached_property
    def _coreml(self) -> Mapping[str, Any]:
        described = _OBJECT.check(f"{self.file}: coreml", self._content.get("coreml", {}), _REPAIR, ModelError)
        if described:
            Choice(FORMAT).check(f"{self.file}: the format", described.get("format"), f"{_REPAIR}, or upgrade sdrt", ModelError)
        return described
