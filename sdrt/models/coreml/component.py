"""A ControlNet that is a Core ML package, within a model's folder or by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdrt.errors import ConfigError
from sdrt.files import exists, user_path
from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.coreml.derived import derived_config
from sdrt.models.coreml.layout import is_package
from sdrt.models.coreml.model import CoreMLFolder, holds_programs
from sdrt.models.coreml.names import Role
from sdrt.models.coreml.ports import read_ports
from sdrt.models.coreml.traced_values import TracedValue
from sdrt.models.stored_model import StoredModel

__all__ = ["CoreMLControlNet", "find_controlnet"]


@dataclass(frozen=True)
class CoreMLControlNet(StoredModel):
    """One component, ``controlnet``.

    Parameters
    ----------
    path, name, embeddings, overrides, allowed, mmap
        See :class:`~sdrt.models.stored_model.StoredModel`.
    paths : tuple of Path
        The package, or its halves.
    stored : mapping or None
        The configuration that the model's ``sdrt.json`` has of it.
    values : mapping
        Where it computes what diffusers' modules give, as that file has it.
    """

    paths: tuple[Path, ...] = ()
    stored: Mapping[str, Any] | None = None
    values: Mapping[str, TracedValue] = field(default_factory=dict)

    def roles(self, component: ComponentName) -> Mapping[Role, tuple[Path, ...]]:
        """Its packages."""
        return {"controlnet": self.paths} if component == "controlnet" else {}

    def traced_values(self, role: Role) -> Mapping[str, TracedValue]:
        """Return where the package computes the outputs of diffusers' modules; empty if unrecorded."""
        return self.values if role == "controlnet" else {}

    @property
    def own_components(self) -> tuple[ComponentName, ...]:
        """The one part."""
        return ("controlnet",)

    def own_config(self, component: ComponentName) -> dict[str, Any]:
        """Return what the model's ``sdrt.json`` has of it, else what the package's shapes say."""
        if self.stored is not None:
            return COMPONENTS[component].complete(self.stored, self.path, self.allowed)
        return derived_config(component, {component: read_ports(self.paths)})

    def own_tensors(self, component: ComponentName) -> ComponentTensors:  # noqa: ARG002 it has one component
        """Refused: they are inside the program."""
        raise holds_programs(self.path)

    def own_files(self, component: ComponentName) -> tuple[Path, ...]:  # noqa: ARG002 it has one component
        """Return the package, or its halves."""
        return self.paths

    def own_where(self, component: ComponentName) -> Path:  # noqa: ARG002 it has one component
        """Return the package."""
        return self.path


def find_controlnet(name: str | Path, model: CoreMLFolder) -> CoreMLControlNet:
    """Find the ControlNet that a name within a model's folder, or the path of a package, means.

    Raises
    ------
    ConfigError : there is none, or the model's U-Net cannot be led by one
    """
    path = user_path("controlnet", name)
    inside = model.layout.controlnet(str(name))
    paths = inside or ((path,) if is_package(path) and exists(path) else None)
    if paths is None:
        own = ", ".join(model.layout.controlnets) or "none"
        raise ConfigError(
            f"{model.layout.path}: controlnet must be one of its own ({own}) or the path of a package, got {str(name)!r}; pass one of those"
        )
    if "control_unet" not in model.layout.roles:
        raise ConfigError(f"{model.layout.path}: its U-Net takes no ControlNet; convert it with --unet-support-controlnet")
    stem = paths[0].name.removesuffix(paths[0].suffix)
    return CoreMLControlNet(
        paths[0],
        stem,
        paths=paths,
        stored=model.sidecar.controlnet(stem),
        values=model.sidecar.traced_values(stem),
        allowed=model.allowed,
        mmap=model.mmap,
    )
