"""Options that change what a network computes, whichever backend runs it: part of the contract, like its inputs and outputs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sdrt.errors import ConfigError
from sdrt.freeu import FREEU, FreeU
from sdrt.models.components import ComponentName
from sdrt.models.components.self_attentions import self_attentions
from sdrt.values import Integer, ListOf, Nullable, Number, Text

__all__ = ["PLAIN", "TOKEN_MERGING", "ComponentOptions", "check_component_options"]

# Of four pixels three can be merged into the fourth.
TOKEN_MERGING = Number(minimum=0, maximum=0.75)


@dataclass(frozen=True, kw_only=True)
class ComponentOptions:
    """The options of one network, fixed when it is opened. A backend lists the ones that it supports in ``Backend.component_options``.

    Parameters
    ----------
    clip_skip : int, at least 0
        Text encoders: with k, ``last_hidden_state`` is the output of layer n - k of n after the final norm, ``penultimate_hidden_state``
        the raw states one layer earlier, and ``pooled`` always that of the last layer. Other components ignore it.
    freeu : FreeU or None
        U-Nets: in the first two stages of the way up, before each residual block, half of what comes from below and the lowest frequencies
        of what comes from the way down are scaled. Other components ignore it.
    identity_attention : tuple of str
        U-Nets: the self-attentions whose map is the identity, so that each pixel attends to itself alone, by diffusers' paths:
        ``"mid_block.attentions.0.transformer_blocks.0.attn1"``. Other components ignore it.
    token_merging : float in [0, 0.75]
        U-Nets: the share of pixels that are merged into others for self-attention, where the U-Net attends to the most of them: see
        `sdrt.backends.numpy.token_merging`. Other components ignore it.

    Raises
    ------
    ConfigError : a value that no network supports
    """

    clip_skip: int = 0
    freeu: FreeU | None = None
    identity_attention: tuple[str, ...] = ()
    token_merging: float = 0.0

    def __post_init__(self) -> None:
        Integer(minimum=0).check("clip_skip", self.clip_skip, "0 skips no layer")
        Nullable(FREEU).check("freeu", self.freeu, "None leaves it out")
        object.__setattr__(self, "token_merging", float(TOKEN_MERGING.check("token_merging", self.token_merging, "0 merges none")))
        paths = ListOf(Text(200, empty=False)).check("identity_attention", self.identity_attention, "pass the paths of self-attentions")
        object.__setattr__(self, "identity_attention", paths)

    def chosen(self) -> dict[str, Any]:
        """Collect the options that differ from their defaults, by name.

        >>> ComponentOptions(clip_skip=2).chosen(), ComponentOptions().chosen()
        ({'clip_skip': 2}, {})
        """
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) != each.default}


# The options of a network as its model describes it.
PLAIN = ComponentOptions()

# The option of a call that asks for one of these, where it has another name.
_ASKED_BY = {"identity_attention": "pag_scale"}


def check_component_options(
    component: ComponentName, config: Mapping[str, Any], options: ComponentOptions, backend: str, supported: Collection[str]
) -> None:
    """Raise ConfigError unless a backend can open a component with these options; open nothing.

    Parameters
    ----------
    component : ComponentName
    config : mapping
        The component's configuration.
    options : ComponentOptions
    backend : str
        The backend's name, for the message.
    supported : collection of str
        The backend's ``component_options``.

    >>> check_component_options("text_encoder", {"num_hidden_layers": 12}, ComponentOptions(clip_skip=1), "mine", ())  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    sdrt.errors.ConfigError: text_encoder: options must be among those of backend 'mine' (none), got clip_skip=1; leave ...
    """
    for name, value in options.chosen().items():
        if name not in supported:
            raise ConfigError(
                f"{component}: options must be among those of backend {backend!r} ({', '.join(sorted(supported)) or 'none'}), "
                f"got {name}={value!r}; leave {_ASKED_BY.get(name, name)} out, or choose another backend"
            )
    if component.startswith("text_encoder") and options.clip_skip and options.clip_skip >= (layers := config["num_hidden_layers"]):
        raise ConfigError(
            f"clip_skip must be below {layers}, the layers of this model's {component}, got {options.clip_skip}; skip fewer layers"
        )
    if component == "unet":
        _check_unet(config, options)


def _check_unet(config: Mapping[str, Any], options: ComponentOptions) -> None:
    if options.freeu is not None and len(config["block_out_channels"]) < 2:
        raise ConfigError("freeu must be None for this model, whose unet has one stage where FreeU scales two; leave it out")
    if options.token_merging and not self_attentions(config):
        raise ConfigError("token_merging must be 0 for this model, whose unet has no self-attention; leave it out")
    if options.identity_attention:
        known = self_attentions(config)
        if unknown := [path for path in options.identity_attention if path not in known]:
            raise ConfigError(f"identity_attention must be among {', '.join(known) or 'none'}, got {unknown[0]}; choose of these")
