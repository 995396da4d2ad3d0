"""Bounds of the predicted x0: clipping and dynamic thresholding. Both are for models of pixels; latents have no natural range."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import Float
from sdrt.exact.quantiles import row_quantiles
from sdrt.schedulers.core.kinds import ANY_FLAG
from sdrt.schedulers.core.settings import check_codec
from sdrt.values import Kind, Number

__all__ = ["BOUND_KEYS", "NO_BOUND", "X0Bound"]

_RANGE = Number(0, 1e30, above=True)  # which float32 can hold

BOUND_KEYS: dict[str, Any] = {"thresholding": False, "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0}


@dataclass(frozen=True, kw_only=True)
class X0Bound:
    """The bound of a predicted x0. Thresholding takes the place of clipping where both are set, as in diffusers.

    Raises
    ------
    ConfigError : an empty range
    """

    KEYS: ClassVar[Mapping[str, Any]] = {"clip_sample": False, "clip_sample_range": 1.0, **BOUND_KEYS}
    KINDS: ClassVar[Mapping[str, Kind[Any]]] = {
        "clip_sample": ANY_FLAG,
        "clip_sample_range": _RANGE,
        "thresholding": ANY_FLAG,
        "dynamic_thresholding_ratio": Number(0, 1),
        "sample_max_value": _RANGE,
    }

    clip_sample_range: float | None = None  # x0 is clipped to +- this
    thresholding: bool = False  # x0 is clipped to a quantile of its own values, and divided by it (Saharia et al. 2022, section 2.3)
    dynamic_thresholding_ratio: float = 0.995  # that quantile
    sample_max_value: float = 1.0  # upper limit of the quantile; the lower limit is 1, unless this is below it

    def __post_init__(self) -> None:
        check_codec(self)

    def __bool__(self) -> bool:
        """Return whether it bounds anything."""
        return self.thresholding or self.clip_sample_range is not None

    def __call__(self, x0: Float) -> Float:
        """Return x0 within the bound, float[n, ...] of its own dtype; x0 itself if there is none."""
        if self.thresholding:
            return self._threshold(x0)
        if self.clip_sample_range is not None:
            clipped: Float = np.clip(x0, -self.clip_sample_range, self.clip_sample_range)
            return clipped
        return x0

    def divisors(self, alphas: Float) -> Float:
        """Return the signal scales that divide in the conversion of a predicted noise to x0."""
        return alphas

    def _threshold(self, x0: Float) -> Float:
        rows = np.abs(x0.reshape(len(x0), -1))
        # torch.clamp lets the upper end win where it is below the lower one.
        limits = np.minimum(np.maximum(row_quantiles(rows, self.dynamic_thresholding_ratio), 1), self.sample_max_value).astype(x0.dtype)
        column = limits.reshape(-1, *(1,) * (x0.ndim - 1))
        bounded: Float = np.clip(x0, -column, column) / column
        return bounded

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "X0Bound":
        """Read diffusers' keys; a class that lacks one has no such bound."""
        return cls(
            clip_sample_range=float(values.get("clip_sample_range", 1.0)) if values.get("clip_sample") else None,
            thresholding=bool(values.get("thresholding")),
            dynamic_thresholding_ratio=float(values.get("dynamic_thresholding_ratio", 0.995)),
            sample_max_value=float(values.get("sample_max_value", 1.0)),
        )

    def config(self) -> dict[str, Any]:
        """Return diffusers' keys."""
        return {
            "clip_sample": self.clip_sample_range is not None,
            "clip_sample_range": 1.0 if self.clip_sample_range is None else self.clip_sample_range,
            "thresholding": self.thresholding,
            "dynamic_thresholding_ratio": self.dynamic_thresholding_ratio,
            "sample_max_value": self.sample_max_value,
        }


NO_BOUND = X0Bound()
