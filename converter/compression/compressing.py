"""Compress the weights of a model."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from converter.compression.applying import Progress, palettize, prune, quantize
from converter.compression.mixing import Measure, make_recipe
from converter.compression.recipes import Recipe
from converter.compression.settings import Compression, LinearQuantization, MixedBits, Palettization
from converter.compression.sizes import PLAIN
from converter.compression.weights import Weight, find_weights, is_compressed
from sdrt.errors import ConfigError

__all__ = ["Progress", "check_uncompressed", "compress", "on_disk", "weights_to_compress"]

METADATA_KEY = "sdrt.mixed_bits"
"""The user-defined entry that describes a recipe: mean bits of a weight, PSNR of the output in dB, size of all weights in bytes."""

IOS_18 = 9  # the specification that introduced palettes of 3 bits and integers of 4


def compress(
    model: Any,
    compression: Compression | Recipe,
    *,
    measure: Measure | None = None,
    measurements: Path | None = None,
    progress: Progress | None = None,
) -> Any:
    """Return a model with smaller weights; its interface, descriptions and metadata are kept.

    Parameters
    ----------
    model : coremltools.models.MLModel
        An uncompressed ML Program with one function. It is not changed.
    compression : Compression, or an existing Recipe
        Embedding tables, masks, biases and small weights are never compressed.
    measure, measurements
        For mixed bits, see `make_recipe`: how the output's error is measured, and the file that stores measurements.
    progress : called as weights are finished, or None

    Returns
    -------
    coremltools.models.MLModel
        With unchanged weights if none is large enough.

    Raises
    ------
    ConfigError : a model that is compressed already, a pipeline, or one for systems without this compression; a recipe of another
        model; an aim that cannot be reached
    MissingExtraError : a required package is not installed
    """
    _check_target(model, compression)
    with on_disk(model) as path:
        if isinstance(compression, MixedBits):
            weights_to_compress(path, compression.min_elements)
            compression = make_recipe(path, compression, measure=measure, measurements=measurements, progress=progress)
        weights = weights_to_compress(path, 1 if isinstance(compression, Recipe) else compression.min_elements)
    if isinstance(compression, Recipe):
        return _apply_recipe(model, compression, weights, progress)
    if not weights:
        return model
    if isinstance(compression, Palettization):
        return palettize(model, {weight.name: compression.nbits for weight in weights}, progress)
    if isinstance(compression, LinearQuantization):
        return quantize(model, weights, compression.nbits, compression.block_size)
    return prune(model, weights, compression.sparsity)


def _apply_recipe(model: Any, recipe: Recipe, weights: tuple[Weight, ...], progress: Progress | None) -> Any:
    bits = {name: count for name, count in recipe.bits_for(weights).items() if count != PLAIN}
    if not bits:
        return model
    smaller = palettize(model, bits, progress)
    summary = {"mean_bits": round(recipe.mean_bits(weights), 2), "weight_bytes": recipe.weight_bytes}
    if recipe.psnr is not None:
        summary["psnr"] = round(recipe.psnr, 1)
    smaller.user_defined_metadata[METADATA_KEY] = json.dumps(summary)
    return smaller


@contextmanager
def on_disk(model: Any) -> Iterator[Path]:
    """Yield the path of a model's package: its own, or a temporary one."""
    if model.package_path is not None:
        yield Path(model.package_path)
        return
    with TemporaryDirectory(prefix="sdrt-") as folder:
        path = Path(folder) / "model.mlpackage"
        model.save(str(path))
        yield path


def weights_to_compress(path: Path, min_elements: int) -> tuple[Weight, ...]:
    """Return the weights of an uncompressed package, in the program's order.

    Raises
    ------
    ConfigError : a package that is compressed already
    """
    check_uncompressed(path)
    return find_weights(path, min_elements)[0]


def check_uncompressed(path: Path) -> None:
    """Refuse a package that is compressed already.

    Raises
    ------
    ConfigError : it is
    """
    if is_compressed(path):
        raise ConfigError("a model to compress must be uncompressed, got compressed weights; use the model converted without compression")


def _check_target(model: Any, compression: Compression | Recipe) -> None:
    version = model.get_spec().specificationVersion
    what = None
    if isinstance(compression, Palettization) and compression.nbits == 3:
        what = "a palette of 3 bits"
    if isinstance(compression, LinearQuantization) and compression.nbits == 4:
        what = "integers of 4 bits"
    if what is not None and version < IOS_18:
        raise ConfigError(
            f"{what} must have a deployment target of iOS 18 or macOS 15 (specification {IOS_18}), got specification {version}; "
            f"convert with --min-deployment-target macOS15, or choose palettes of 2, 4, 6 or 8 bits or int8"
        )
