"""The canonical contract of every component: its inputs and outputs, derived from the model's own configuration.

A backend hides its own layout and dtype behind these signatures; the runtime checks both sides of each call against them. A backend whose
networks were fixed elsewhere (Core ML) may lack outputs, and its safety checker returns ``has_nsfw`` bool[n] instead of special scores.
"""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Numerics, Signature, float_dtype
from sdrt.errors import ConfigError
from sdrt.models.components import COMPONENTS, ComponentName

__all__ = ["signature"]


def signature(component: ComponentName, config: Mapping[str, Any], numerics: Numerics) -> Signature:
    """Make the signature of a component.

    Parameters
    ----------
    component : ComponentName
    config : mapping
        The component's ``config.json``, with the defaults of its diffusers or transformers class filled in.
    numerics : "float32", "float64" or "exact"
        The promised precision, which fixes the dtype of every floating array on the seam.

    Raises
    ------
    ConfigError : the component is unknown

    >>> print(*signature("vae_decoder", {"latent_channels": 4, "out_channels": 3}, "float32").inputs)
    z float32[*,4,*,*]
    """
    dtype = float_dtype(numerics).name
    if component not in COMPONENTS:
        raise ConfigError(f"component must be one of {', '.join(COMPONENTS)}, got {component!r}; choose one of those")
    return COMPONENTS[component].contract(config, dtype)
