"""The backend that the entry point names."""

from functools import partial
from importlib.util import find_spec

from sdrt.backends import PLAIN, BackendOptions, ComponentOptions, Network, signature
from sdrt.backends.openvino.options import OpenVinoOptions
from sdrt.errors import ConfigError, MissingExtraError
from sdrt.models import ComponentName, Model
from sdrt.models.components.controlnets import is_union

__all__ = ["OpenVinoBackend"]

# It converts the modules that sdrt's torch backend opens, and needs what that needs.
_PACKAGES = ("openvino", "torch", "diffusers", "transformers")


class OpenVinoBackend:
    """Opens networks that run on OpenVINO.

    Its options are ``device`` (an OpenVINO device; default CPU), ``dtype`` (what products may be rounded to: float32, bfloat16 or float16;
    default float32) and ``cache_dir`` (where converted and compiled models are kept; default the user's own cache, None for nowhere).

    Raises
    ------
    MissingExtraError : a package is not installed
    """

    name = "openvino"
    option_names = ("device", "dtype", "cache_dir")
    component_options = ("clip_skip",)

    def __init__(self) -> None:
        if missing := [package for package in _PACKAGES if find_spec(package) is None]:
            raise MissingExtraError(f"backend 'openvino' needs {', '.join(missing)}; install the extra: pip install 'sdrt[openvino]'")

    def open(self, component: ComponentName, model: Model, options: BackendOptions, component_options: ComponentOptions = PLAIN) -> Network:
        """Open one part; it is converted and compiled at the first call, or found where an earlier run has kept it."""
        own = OpenVinoOptions.read(options)
        config = model.config(component)
        if component == "controlnet" and is_union(config):
            raise ConfigError(
                f"{model.where(component)}: a ControlNet for OpenVINO must take one sort of picture, got a union; run it on backend 'torch'"
            )

        from sdrt.backends.openvino.conversion import digest
        from sdrt.backends.openvino.network import OpenVinoNetwork
        from sdrt.backends.openvino.programs import Programs
        from sdrt.backends.torch.construction import open_module

        key = None if own.cache is None else digest(component, model, component_options)
        programs = Programs(component, own, key, partial(open_module, component, model, clip_skip=component_options.clip_skip))
        if programs.tensor_names is not None:
            model.tensors(component).count_as_used(programs.tensor_names)
        return OpenVinoNetwork(component, signature(component, config, options.numerics), config, programs)
