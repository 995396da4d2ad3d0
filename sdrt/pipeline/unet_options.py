"""The options of a run's U-Net, for each kind of row; a refiner has none."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sdrt.backends import PLAIN, ComponentOptions
from sdrt.errors import ConfigError
from sdrt.freeu import FREEU
from sdrt.guidance import Row
from sdrt.guidance.rows import PERTURBED
from sdrt.pipeline.options import GenerateOptions
from sdrt.pipeline.perturbed_layers import perturbed_layers

__all__ = ["PLAIN_UNET", "UNetOptions", "read_unet_options", "record_unet_options"]


@dataclass(frozen=True)
class UNetOptions:
    """The options of a run's U-Net.

    Parameters
    ----------
    every : ComponentOptions
        For all rows but those of the kind ``perturbed``.
    perturbed : ComponentOptions
        For these.
    """

    every: ComponentOptions = PLAIN
    perturbed: ComponentOptions = PLAIN

    def of(self, row: Row) -> ComponentOptions:
        """Return the options for a kind of row."""
        return self.perturbed if row == PERTURBED else self.every

    def distinct(self, rows: Sequence[Row]) -> tuple[ComponentOptions, ...]:
        """Return the options for these rows, each once."""
        return tuple(dict.fromkeys(self.of(row) for row in rows))


PLAIN_UNET = UNetOptions()


def record_unet_options(options: GenerateOptions) -> dict[str, Any]:
    """Return those options of a call that change what its U-Net computes, as conditions of its record.

    Raises
    ------
    ConfigError : one comes without another that it belongs to
    """
    freeu = options.get("freeu")
    recorded: dict[str, Any] = {} if freeu is None else {"freeu": asdict(freeu)}
    if ratio := options.get("token_merging"):
        recorded["token_merging"] = ratio
    if scale := options.get("pag_scale"):
        layers = options.get("pag_applied_layers") or "mid"
        recorded["pag_scale"] = scale
        recorded["pag_applied_layers"] = [layers] if isinstance(layers, str) else list(layers)
        recorded["pag_adaptive_scale"] = options.get("pag_adaptive_scale") or 0.0
    elif needless := [name for name in ("pag_applied_layers", "pag_adaptive_scale") if options.get(name)]:
        raise ConfigError(f"{needless[0]} must come with a pag_scale above 0, got none; pass pag_scale=3.0, or leave it out")
    return recorded


def read_unet_options(conditions: Mapping[str, Any], config: Mapping[str, Any]) -> UNetOptions:
    """Return the options of the U-Net that the conditions of a record name.

    Parameters
    ----------
    conditions : mapping
    config : mapping
        The U-Net's complete configuration.

    Raises
    ------
    ConfigError : it has no such layers
    """
    freeu, patterns = conditions.get("freeu"), conditions.get("pag_applied_layers", ())
    every = ComponentOptions(freeu=None if freeu is None else FREEU.convert(freeu), token_merging=conditions.get("token_merging", 0.0))
    return UNetOptions(every, replace(every, identity_attention=perturbed_layers(patterns, config)))
