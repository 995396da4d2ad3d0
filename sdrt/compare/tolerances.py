"""How large an error may be before it is a departure, by the precision of both sides."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, Self, TypeAlias

from sdrt.values import Nullable, Number

__all__ = ["Precision", "Tolerances"]

# From the most precise to the least.
Precision: TypeAlias = Literal["float64", "exact", "float32", "float16", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """Errors up to these are rounding. Each is a largest difference over a largest value.

    Parameters
    ----------
    latents : float
        Of two runs that each go their own way.
    network : float
        Of one network call from the same inputs.
    scheduler : float
        Of one step from the same sample, output and noise.
    layer : float
        Of one module from the same values.
    rounding : float
        The unit of the coarser type; a norm's error grows with it where a mean is large beside the deviation.
    """

    latents: float
    network: float
    scheduler: float
    layer: float
    rounding: float

    @classmethod
    def of(cls, a: Precision, b: Precision, taken: Precision = "float64", **chosen: float | None) -> Self:
        """Return the tolerances of two sides, or a caller's where they are set.

        Parameters
        ----------
        a, b : Precision
            In which the networks of either compute.
        taken : Precision
            The least precise type to which one of them rounds its inputs.
        **chosen : float or None
            A caller's tolerances, by their names.

        Raises
        ------
        ConfigError : one is no number, or below 0
        """
        known: dict[Precision, Self] = {name: cls(**row) for name, row in _BY_PRECISION.items()}
        both = {each.name: max(getattr(known[a], each.name), getattr(known[b], each.name)) for each in fields(cls)}
        # rounded inputs are no module's error
        both |= {name: max(both[name], getattr(known[taken], name)) for name in ("latents", "network")}
        checked = {name: _AMOUNT.check(f"{name}_tolerance", value) for name, value in chosen.items()}
        return cls(**both | {name: value for name, value in checked.items() if value is not None})


_AMOUNT = Nullable(Number(0.0))

# float64: sums of thousands of products in another order stay below 1e-12 in a module.
# float32: networks are held to 1e-4 of torch's everywhere in this project. A module's own error is some 1e-6, and 2e-5 for the sine of
# timesteps near 1000, whose angles are rounded. exact rounds the factors of products to some 20 bits, up to 8 times float32's error.
# float16 and bfloat16: a module's inputs and its value are rounded, which is 3 to 10 units; a network has hundreds of modules.
_BY_PRECISION: Mapping[Precision, Mapping[str, float]] = {
    "float64": {"latents": 1e-6, "network": 1e-9, "scheduler": 1e-12, "layer": 1e-10, "rounding": 2**-52},
    "exact": {"latents": 1e-2, "network": 8e-4, "scheduler": 1e-5, "layer": 1e-4, "rounding": 2**-20},
    "float32": {"latents": 1e-3, "network": 1e-4, "scheduler": 1e-5, "layer": 4e-5, "rounding": 2**-23},
    "float16": {"latents": 0.2, "network": 3e-2, "scheduler": 1e-5, "layer": 2e-2, "rounding": 2**-10},
    "bfloat16": {"latents": 0.5, "network": 0.1, "scheduler": 1e-5, "layer": 6e-2, "rounding": 2**-7},
}
