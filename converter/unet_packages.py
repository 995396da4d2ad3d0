"""Recognise the package of a whole U-Net by its interface, whichever converter made it."""

from pathlib import Path

from sdrt.backends.coreml import describe
from sdrt.errors import ConfigError, MissingFileError
from sdrt.models.coreml.names import Role

__all__ = ["unet_role"]

# The names of Apple's converter, and of this one: packages carry no other sign of what they compute.
_INPUTS = {"sample", "timestep", "encoder_hidden_states"}
_OUTPUTS = {"noise_pred"}
_RESIDUAL = "additional_residual_0"


def unet_role(package: Path) -> Role:
    """Return what a U-Net's package computes: ``unet``, or ``control_unet`` if it takes a ControlNet's residuals.

    Raises
    ------
    MissingFileError : no such package
    ConfigError : a compiled model, or the package of another network
    ModelError : a damaged package
    """
    if not package.exists():
        raise MissingFileError(f"{package}: must be an .mlpackage folder, got nothing there; pass the path of one")
    summary = describe(package)
    if summary.form != "mlpackage":
        raise ConfigError(f"{package}: must be an .mlpackage, got an {summary.form}; pass the package that it was compiled from")
    inputs, outputs = ({feature.name for feature in features} for features in (summary.inputs, summary.outputs))
    if not inputs >= _INPUTS or outputs != _OUTPUTS:
        raise ConfigError(
            f"{package.name}: must be a whole U-Net, with inputs {', '.join(sorted(_INPUTS))} and output noise_pred, got inputs "
            f"{', '.join(sorted(inputs))} and outputs {', '.join(sorted(outputs))}; pass the U-Net's package"
        )
    return "control_unet" if _RESIDUAL in inputs else "unet"
