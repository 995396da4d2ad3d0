"""The torch backend: networks run by diffusers' and transformers' own modules."""

from typing import TYPE_CHECKING

from sdrt.backends.base import BackendOptions
from sdrt.backends.component_options import PLAIN, ComponentOptions
from sdrt.backends.contract import signature
from sdrt.backends.torch.extra import import_packages, require_packages
from sdrt.models.base import Model
from sdrt.models.components import ComponentName

if TYPE_CHECKING:
    from sdrt.backends.torch.network import TorchNetwork

__all__ = ["TorchBackend"]


class TorchBackend:
    """Opens networks that run on torch.

    Its options are ``device`` (cpu, cuda, cuda:<index> or mps; default cpu), ``dtype`` (float32, bfloat16 or float16; default float32),
    ``compile`` (default False), ``channels_last`` (default None: as the device likes it) and ``on_compile`` (called for each
    :class:`~sdrt.backends.torch.CompileEvent`).

    Raises
    ------
    MissingExtraError : torch, diffusers or transformers is not installed
    """

    def __init__(self) -> None:
        require_packages()

    @property
    def name(self) -> str:
        return "torch"

    @property
    def option_names(self) -> tuple[str, ...]:
        return ("device", "dtype", "compile", "channels_last", "on_compile")

    @property
    def component_options(self) -> tuple[str, ...]:
        """Which options of components it supports."""
        return "clip_skip", "freeu", "identity_attention", "token_merging"

    def open(
        self, component: ComponentName, model: Model, options: BackendOptions, component_options: ComponentOptions = PLAIN
    ) -> "TorchNetwork":
        """Open one part.

        Raises
        ------
        ConfigError : an option that cannot be used here, or a configuration that diffusers cannot build
        ModelError : a file is missing or damaged, or a tensor does not fit the configuration
        BackendError : torch, diffusers or transformers cannot be imported, or memory is short
        """
        import_packages()
        from sdrt.backends.torch.construction import open_module
        from sdrt.backends.torch.filling import lay_channels_last
        from sdrt.backends.torch.forked_device import check_forked_device
        from sdrt.backends.torch.memory import oom_as_backend_error
        from sdrt.backends.torch.network import TorchNetwork
        from sdrt.backends.torch.options import TorchOptions

        own = TorchOptions.read(options)
        config = model.config(component)
        check_forked_device(component, own.device)
        with oom_as_backend_error(component, own.device):
            adapter = open_module(
                component,
                model,
                dtype=own.dtype,
                device=own.device,
                mapped=own.low_memory,
                row_by_row=own.low_memory,
            )
            if own.channels_last:
                lay_channels_last(adapter)
        return TorchNetwork(component, signature(component, config, options.numerics), adapter, own, component_options)
