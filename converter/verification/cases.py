"""Make the inputs that a package is verified on: fixed and random ones, in the shapes that it declares.

Every number is rounded to the type that the package declares for it, and the reference receives the rounded number, so that rounding of the
inputs does not count as an error of the conversion.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from converter.verification.chain import Chain
from sdrt.arrays import Array
from sdrt.errors import ConversionError
from sdrt.models.mlpackage.features import Feature
from sdrt.models.mlpackage.mil import Operation, TensorType

__all__ = ["TIMESTEPS", "Case", "cases_of"]

# Steps of the training schedule: near its start, where t times a frequency has the fewest digits left, its middle, and the last of 50
# steps.
TIMESTEPS = (981.0, 501.0, 21.0, 1.0)

_CLIP_VOCABULARY = 49408
_LATENT_FACTOR = 8  # pixels along a latent's edge, for SDXL's sizes; any number would do


@dataclass(frozen=True, kw_only=True)
class Case:
    """The inputs of one call.

    Parameters
    ----------
    name : str
        For tables, such as ``random, t=981, sample 2x4x64x64``.
    inputs : dict of arrays by the package's names
        float32 or int32, holding values of the declared type.
    """

    name: str
    inputs: dict[str, Array]


def cases_of(chain: Chain, seed: int, timesteps: Sequence[float]) -> list[Case]:
    """Make all cases of a package: each timestep and one fixed input at its own size, and one case for each other size that it lists.

    Raises
    ------
    ConversionError : an input that is not an array, or has no shape
    """
    features = chain.inputs
    if bad := [feature.name for feature in features if feature.kind != "array" or not feature.shape]:
        raise ConversionError(f"inputs of a verification must be arrays with a shape, got others for {', '.join(bad)}; give them shapes")
    names = [feature.name for feature in features]
    words = _vocabulary(chain.operations()) if "input_ids" in names else 0
    times: Sequence[float | None] = tuple(timesteps) if "timestep" in names else (None,)
    if not times:
        raise ConversionError("timesteps of a network that takes one must be at least one, got none; pass some")
    rng = np.random.default_rng(seed)
    own, *others = _sizes(features)
    cases = [_case("fixed", features, own, times[0], words, None)]
    cases += [_case("random", features, own, time, words, rng) for time in times]
    cases += [_case("random", features, shapes, times[-1], words, rng, sized=True) for shapes in others]
    return cases


def _sizes(features: Sequence[Feature]) -> list[tuple[tuple[int, ...], ...]]:
    """Return the shapes of all inputs together, the package's own first: inputs that list several list them in the same order."""
    own = tuple(feature.shape for feature in features)
    count = max((len(feature.choices) for feature in features), default=0)
    listed = [
        tuple(feature.choices[index] if len(feature.choices) == count else feature.shape for feature in features) for index in range(count)
    ]
    return [own, *(shapes for shapes in listed if shapes != own)]


def _case(
    kind: str,
    features: Sequence[Feature],
    shapes: Sequence[tuple[int, ...]],
    time: float | None,
    words: int,
    rng: np.random.Generator | None,
    *,
    sized: bool = False,
) -> Case:
    pixels = _pixels(features, shapes)
    inputs = {}
    for feature, shape in zip(features, shapes, strict=True):
        value = _value(feature.name, shape, time, words, pixels, rng)
        with np.errstate(over="ignore"):
            value = value.astype(feature.dtype or "float32")
        inputs[feature.name] = value if value.dtype.kind in "iu" else value.astype(np.float32)
    name = kind if time is None else f"{kind}, t={time:g}"
    if sized:
        first = next(index for index, feature in enumerate(features) if feature.choices)
        name += f", {features[first].name} {'x'.join(map(str, shapes[first]))}"
    return Case(name=name, inputs=inputs)


def _pixels(features: Sequence[Feature], shapes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    """Return the height and width of the image, as SDXL receives them."""
    sample = next((shape for feature, shape in zip(features, shapes, strict=True) if feature.name == "sample"), (0, 0, 0, 0))
    return sample[-2] * _LATENT_FACTOR, sample[-1] * _LATENT_FACTOR


def _value(
    name: str, shape: tuple[int, ...], time: float | None, words: int, pixels: tuple[int, int], rng: np.random.Generator | None
) -> Array:
    """Make a value for an input of this name, of the kind that a pipeline passes."""
    if name == "timestep":
        return np.full(shape, time)
    if name == "input_ids":
        return _token_ids(shape, words, rng)
    if name == "time_ids":
        # (height, width, top, left, height, width), or a refiner's with a score instead of the last two; older packages have them flat.
        row = [*pixels, 0, 0, *(pixels if shape[-1] != 5 else (6.0,))]
        return np.resize(np.array(row, np.float64), shape)
    if name == "adjustment":
        return np.zeros(shape)
    if name in ("x", "controlnet_cond", "images"):
        unit = _waves(shape) if rng is None else rng.uniform(-1, 1, shape)
        return unit if name == "x" else (unit + 1) / 2
    return 1.5 * _waves(shape) if rng is None else rng.standard_normal(shape)


def _waves(shape: tuple[int, ...]) -> Array:
    """Return smooth values in [-1, 1], different in each channel: unlike a random draw, similar to an image."""
    size = int(np.prod(shape[1:]))
    wave = np.sin(np.arange(shape[0] * size, dtype=np.float64) * (2 * np.pi * 7.3 / max(size, 1)))
    slow = np.cos(np.arange(shape[0] * size, dtype=np.float64) * 0.37)
    return ((wave + slow) / 2).reshape(shape)


def _token_ids(shape: tuple[int, ...], words: int, rng: np.random.Generator | None) -> Array:
    """Return a prompt in the form of CLIP's tokenizer: start, words, end, and end tokens as padding; without a generator, no words."""
    ids = np.full(shape, words - 1)
    ids[:, 0] = words - 2
    if rng is not None:
        length = int(rng.integers(1, max(shape[1] - 1, 2)))
        ids[:, 1 : 1 + length] = rng.integers(0, words - 2, (shape[0], length))
        ids[:, -1] = words - 1
    return ids


def _vocabulary(operations: Sequence[Operation]) -> int:
    """Return the number of rows of the embedding table: the first matrix that is gathered from."""
    return next(_gathered_rows(operations), _CLIP_VOCABULARY)


def _gathered_rows(operations: Sequence[Operation]) -> Iterator[int]:
    constants = {
        output.name: output.type
        for operation in operations
        if operation.type == "const" or operation.type.startswith("constexpr_")
        for output in operation.outputs
    }
    for operation in operations:
        table = operation.inputs.get("x", (None,))[0] if operation.type == "gather" else None
        kind = constants.get(table) if isinstance(table, str) else None
        if isinstance(kind, TensorType) and len(kind.shape) == 2 and kind.shape[0] is not None and kind.shape[0] > 2:
            yield kind.shape[0]
