"""One model in, a smaller one out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from converter.compression.applying import Progress, palettize, prune, quantize
from converter.compression.settings import Compression, LinearQuantization, MixedBits, Palettization
from converter.compression.weights import Weight, find_weights, is_compressed
from sdrt.errors import ConfigError

__all__ = ["Progress", "compress", "on_disk", "weights_to_compress"]

IOS_18 = 9  # the specification that brought palettes of 3 bits and integers of 4


def compress(model: Any, compression: Compression, *, progress: Progress | None = None) -> Any:
    """A model with smaller weights; its interface, descriptions and metadata stay.

    Parameters
    ----------
    model : coremltools.models.MLModel
        An ML Program with one function, uncompressed. It is not changed.
    compression : Compression
        Embedding tables, masks, biases and small weights stay as they are in each.
    progress : called as weights are done, or None

    Returns
    -------
    coremltools.models.MLModel
        The same weights as before where none is large enough.

    Raises
    ------
    ConfigError : the model is compressed already, is a pipeline, or is for systems that do not know this compression
    MissingExtraError : a package that is needed is not installed
    """
    with on_disk(model) as path:
        weights = weights_to_compress(path, compression.min_elements)
    _check_target(model, compression)
    if not weights:
        return model
    if isinstance(compression, Palettization):
        return palettize(model, {weight.name: compression.nbits for weight in weights}, progress)
    if isinstance(compression, LinearQuantization):
        return quantize(model, weights, compression.nbits, compression.block_size)
    if isinstance(compression, MixedBits):
        raise NotImplementedError
    return prune(model, weights, compression.sparsity)


@contextmanager
def on_disk(model: Any) -> Iterator[Path]:
    """The package that a model lies in, for as long as this lasts: its own, or one that is written for it."""
    if model.package_path is not None:
        yield Path(model.package_path)
        return
    with TemporaryDirectory(prefix="sdrt-") as folder:
        path = Path(folder) / "model.mlpackage"
        model.save(str(path))
        yield path


def weights_to_compress(path: Path, min_elements: int) -> tuple[Weight, ...]:
    """The weights of an uncompressed package, in the program's order.

    Raises
    ------
    ConfigError : it is compressed already
    """
    if is_compressed(path):
        raise ConfigError("the weights of this model are compressed already; compress the one that was converted without compression")
    return find_weights(path, min_elements)[0]


def _check_target(model: Any, compression: Compression) -> None:
    version = model.get_spec().specificationVersion
    what = None
    if isinstance(compression, Palettization) and compression.nbits == 3:
        what = "a palette of 3 bits"
    if isinstance(compression, LinearQuantization) and compression.nbits == 4:
        what = "integers of 4 bits"
    if what is not None and version < IOS_18:
        raise ConfigError(
            f"{what}: iOS 18 or macOS 15 is needed (specification {IOS_18}), and the model is made for older systems (specification "
            f"{version}); convert it with --min-deployment-target macOS15, or choose palettes of 2, 4, 6 or 8 bits or int8"
        )
