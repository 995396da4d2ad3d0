"""``sdrt.json`` beside packages: what our converter knows of a model and no package says."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models.coreml.traced_values import TracedValue, read_traced_values
from sdrt.models.json_file import read_json_if_there

__all__ = ["FORMAT", "SIDECAR", "Sidecar"]

SIDECAR = "sdrt.json"
FORMAT = 1  # of the object under "coreml"


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
        configs = self._coreml.get("configs", {})
        if not isinstance(configs, dict) or not all(isinstance(config, dict) for config in configs.values()):
            raise ModelError(f"{self.file}: coreml.configs must hold an object for each component; convert the model again")
        return configs

    def controlnet(self, stem: str) -> Mapping[str, Any] | None:
        """Return the configuration of a ControlNet by the stem of its file; None where there is none."""
        return self.section("controlnets").get(stem)

    def traced_values(self, key: str) -> dict[str, TracedValue]:
        """Return where a package computes the outputs of diffusers' modules, by its role or a ControlNet's stem; empty if unrecorded."""
        return read_traced_values(self.file, self.section("traces").get(key, {}))

    def section(self, key: str) -> Mapping[str, Any]:
        """Return the object under a key of ``coreml``; empty where there is none."""
        section = self._coreml.get(key)
        return section if isinstance(section, dict) else {}

    @cached_property
    def _content(self) -> Mapping[str, Any]:
        return read_json_if_there(self.file, self.allowed)

    @cached_property
    def _coreml(self) -> Mapping[str, Any]:
        described = self._content.get("coreml", {})
        if not isinstance(described, dict):
            raise ModelError(f"{self.file}: coreml must be an object, got {type(described).__name__}; convert the model again")
        if described and described.get("format") != FORMAT:
            raise ModelError(
                f"{self.file}: the format must be {FORMAT}, got {described.get('format')!r}; convert the model again, or upgrade sdrt"
            )
        return described
