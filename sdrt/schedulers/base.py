"""What samplers still share whose settings stand in tables beside them: it goes with the last of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from sdrt.arrays import F64, Float, Numerics
from sdrt.errors import ConfigError
from sdrt.schedulers.core.prediction import Prediction
from sdrt.schedulers.core.sampler import Grid
from sdrt.schedulers.core.sampler import Sampler as CoreSampler
from sdrt.schedulers.core.settings import Compat
from sdrt.schedulers.steps.bounds import NO_BOUND, X0Bound

__all__ = ["Sampler"]


@dataclass(frozen=True, kw_only=True)
class _OwnStops(Grid):
    """What the frame asks of a grid, answered by a sampler that lays out its stops itself."""

    trained: int

    @property
    def num_train_timesteps(self) -> int:
        """T, the length of the training schedule."""
        return self.trained


@dataclass(frozen=True, kw_only=True)
class Sampler(CoreSampler):
    """A sampler that reads and writes its own settings, and chooses its own stops."""

    keys: ClassVar[Mapping[str, Any]]
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    spare_sigmas: ClassVar[int] = 1  # how many sigmas more than steps a caller passes: 1 where the last is the end of the run
    takes: ClassVar[frozenset[str]] = frozenset({"timesteps"})  # which stops a caller may lay down: timesteps, sigmas, mu
    compats: ClassVar[tuple[Compat, ...]] = ("diffusers",)  # whose defects it can reproduce

    prediction_type: Prediction = "epsilon"
    grid: Grid = field(default=None, repr=False, compare=False)  # type: ignore[assignment]
    numerics: Numerics = "float32"

    def __post_init__(self) -> None:
        stops = _OwnStops(accepts=self.takes, sigmas_include_final=bool(self.spare_sigmas), trained=self.num_train_timesteps)
        object.__setattr__(self, "grid", stops)
        if self.compat is not None and self.compat not in self.compats:
            raise ConfigError(
                f"{self.name} reproduces the defects of {' or '.join(map(str, self.compats)) or 'nobody'}, "
                f"got compat {self.compat!r}; leave it out, or take another sampler"
            )

    @property
    def config(self) -> dict[str, Any]:
        """The settings as a diffusers ``scheduler_config.json``, every key written out; :func:`sampler_from_config` reads it back."""
        return {"_class_name": self.name, **{key: value for key, value in self._config().items() if key in self.keys}}

    @classmethod
    def read(cls, values: Mapping[str, Any], numerics: Numerics = "float32", compat: Compat = None) -> Self:
        """Build the sampler of a complete set of :attr:`keys`; :func:`sampler_from_config` completes and checks one."""
        return cls(**cls._read(values), numerics=numerics, compat=compat)

    def _config(self) -> dict[str, Any]:
        """Return this sampler's settings under diffusers' keys; keys that the class does not have are left out of :attr:`config`."""
        return {"num_train_timesteps": self.num_train_timesteps, "prediction_type": self.prediction_type}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that these keys mean."""
        return {"prediction_type": values.get("prediction_type", "epsilon")}

    def with_compat(self, compat: Compat) -> Self:
        """Return this sampler with the defects of another tool, or of none."""
        return replace(self, compat=compat)

    def predicted_x0(self, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the clean sample that an output at these scales amounts to, within its bound."""
        return self._x0_bound()(super().predicted_x0(x, output, alpha, sigma))

    def alpha_bar(self) -> F64 | None:
        """Return the signal power at every trained timestep, f64[T]; None for a sampler that knows none (EDM, flow matching)."""
        return None

    def _x0_bound(self) -> X0Bound:
        """Return how far the predicted x0 may go."""
        return NO_BOUND
