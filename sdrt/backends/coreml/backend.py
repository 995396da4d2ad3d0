"""The backend ``coreml``: opens the packages of a model's components."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sdrt.arrays import Signature
from sdrt.backends.base import BackendOptions
from sdrt.backends.component_options import PLAIN, ComponentOptions
from sdrt.backends.contract import signature
from sdrt.backends.coreml.adapters import adapter_of
from sdrt.backends.coreml.network import CoreMLNetwork, LazyRole
from sdrt.backends.coreml.options import CoreMLOptions
from sdrt.backends.coreml.runner import open_runner
from sdrt.backends.coreml.signatures import narrow_signature
from sdrt.backends.coreml.tracing import TraceablePackages
from sdrt.errors import ConfigError
from sdrt.models.base import Model
from sdrt.models.components import ComponentName
from sdrt.models.coreml import CoreMLControlNet, CoreMLFolder
from sdrt.models.coreml.ports import read_ports
from sdrt.models.coreml.traced_values import TracedValue

__all__ = ["CoreMLBackend"]


class CoreMLBackend:
    """Core ML on macOS, the executor of ML Programs everywhere else."""

    name = "coreml"
    option_names = ("compute_unit", "precision", "on_load")
    component_options = ()

    def open(
        self,
        component: ComponentName,
        model: Model,
        options: BackendOptions,
        component_options: ComponentOptions = PLAIN,  # noqa: ARG002 what a package computes was fixed when it was converted
    ) -> CoreMLNetwork:
        """Open one part.

        Raises
        ------
        ConfigError : the component is not of Core ML packages, or an option cannot be used
        ModelError : a package is damaged, or is another model's
        MissingExtraError : on macOS, without coremltools
        """
        holder = _holder(component, model)
        own = replace(CoreMLOptions.read(options), mmap=holder.mmap)
        roles = holder.roles(component)
        opened = {role: self._role(paths, holder.traced_values(role), own) for role, paths in roles.items()}
        controlled = opened.pop("control_unet", None)
        plain = next(iter(opened.values()), None)
        first = plain or controlled
        if first is None:
            raise ConfigError(f"{model.path}: has no package of its {component}; convert it into this folder")
        adapter = adapter_of(component, first.ports)
        owner = next(iter(roles.values()))[0]
        wanted = signature(component, model.config(component), options.numerics)
        if component == "controlnet":
            # how many residuals there are is what the package says
            wanted = replace(wanted, outputs=())
        narrow: Signature = narrow_signature(owner, wanted, first.ports, adapter, None if controlled is None else controlled.ports)
        network = CoreMLNetwork(component, narrow, adapter, plain, controlled)
        # loaded now, so that what fails does so here; the role that takes residuals waits until there are some
        first.get()
        return network

    def _role(self, paths: tuple[Path, ...], values: Mapping[str, TracedValue], own: CoreMLOptions) -> LazyRole:
        traceable = TraceablePackages(paths, values, own.precision or "float32", own.threads, own.mmap)
        return LazyRole(read_ports(paths), lambda: open_runner(paths, own), traceable)


def _holder(component: ComponentName, model: Model) -> CoreMLFolder | CoreMLControlNet:
    """Find the model, or the one laid over it, whose packages run a component."""
    for each in (*getattr(model, "overrides", ()), model):
        if component in each.components and isinstance(each, CoreMLFolder | CoreMLControlNet):
            return each
        if component in each.components and each is not model:
            break
    raise ConfigError(
        f"{model.path}: its {component} is no Core ML package; convert it with 'sdrt convert --model-version {model.path}', or choose "
        "another backend"
    )
