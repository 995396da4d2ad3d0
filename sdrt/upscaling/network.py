"""A network as an upscaler: the picture in tiles, the network on each, and Lanczos to a size that is not the network's."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sdrt.arrays import Float, float_dtype
from sdrt.backends import Backend, BackendOptions
from sdrt.backends.pool import NetworkPool
from sdrt.errors import ConfigError
from sdrt.images.inputs import to_unit
from sdrt.images.sizes import lanczos
from sdrt.models.base import Model
from sdrt.models.components.upscaler import is_compact, radius_of, scale_of
from sdrt.models.fingerprint import fingerprint
from sdrt.upscaling.base import Report, Upscaler
from sdrt.upscaling.tiling import Layout, enlarge_tiles, layout
from sdrt.values import Integer, Nullable

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["NetworkUpscaler"]

_TILE, _OVERLAP = 192, 32  # pixels of what the network works on, which are fewer than the picture's where it unshuffles them

_SIDE = Nullable(Integer(16, 2**24))
_SHARED = Nullable(Integer(0, 2**24))
_TILE_REPAIR = "pass the pixels of a side; a tile as large as the picture makes it whole"
_OVERLAP_REPAIR = "pass pixels, 0 for none"


class NetworkUpscaler(Upscaler):
    """An upscaler that runs a network; made by :func:`sdrt.load_upscaler`.

    Parameters
    ----------
    model : Model
        With the component ``upscaler``.
    backend : Backend
    options : BackendOptions
        ``low_memory`` closes the network between calls.
    tile : int or None
        The most pixels of a tile's side; None: 192, and where the network unshuffles pixels as many times that as it packs into one.
    overlap : int or None
        The pixels that neighbouring tiles share; None: a sixth of a tile, at most 32 of such pixels.

    Raises
    ------
    ConfigError : a tile of fewer than 16 pixels, or an overlap of more than a third of it; a backend that runs no upscaler
    """

    def __init__(
        self, model: Model, backend: Backend, options: BackendOptions, tile: int | None = None, overlap: int | None = None
    ) -> None:
        super().__init__(model.allowed)
        self.model, self.options = model, options
        self._config = model.config("upscaler")
        self._multiple = 1 if is_compact(self._config) else self._config["unshuffle"]
        tile, overlap = _SIDE.check("tile", tile, _TILE_REPAIR), _SHARED.check("overlap", overlap, _OVERLAP_REPAIR)
        self.tile = _TILE * self._multiple if tile is None else tile
        self.overlap = min(_OVERLAP * self._multiple, self.tile // 6) if overlap is None else overlap
        if 3 * self.overlap > self.tile:
            raise ConfigError(f"overlap must be at most a third of the tile of {self.tile} pixels, got {overlap}; pass {self.tile // 6}")
        self._pool = NetworkPool(model, {"upscaler": backend}, {"upscaler": options}, keep_loaded=not options.low_memory)

    @property
    def name(self) -> str:
        """The file's or the repository's name."""
        return self.model.name

    @property
    def scale(self) -> int:
        """How many times as wide and as high it makes a picture by itself."""
        return scale_of(self._config)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell its weights from others."""
        return fingerprint(self.model.files("upscaler"))

    @property
    def remarks(self) -> Mapping[str, str]:
        """What of the file is not used: one sentence for each topic."""
        return {**self.model.remarks, **self._pool.remarks}

    def load(self) -> None:
        """Read the weights now.

        Raises
        ------
        WeightsError : a tensor is missing, has no place in the network, or is not finite
        ConfigError, BackendError : the backend cannot run it
        """
        with self._pool.using("upscaler"):
            pass

    def close(self) -> None:
        """Free the memory; closing twice is fine."""
        self._pool.close()

    def __repr__(self) -> str:
        return f"NetworkUpscaler({self.name!r}, x{self.scale})"

    def _layouts(self, image: "Image") -> tuple[Layout, Layout]:
        """Return how height and width are cut."""
        radius = radius_of(self._config)
        rows, columns = (layout(side, self.tile, self.overlap, self._multiple, radius) for side in (image.height, image.width))
        return rows, columns

    def _pieces(self, image: "Image") -> int:
        rows, columns = self._layouts(image)
        return len(rows.runs) * len(columns.runs)

    def _enlarge(self, image: "Image", width: int, height: int, report: Report) -> "Image":
        from PIL import Image

        colours: Float = to_unit("image", image, image.height, image.width).astype(float_dtype(self.options.numerics))
        with self._pool.using("upscaler") as network:

            def run(tile: Float) -> Float:
                upscaled: Float = network(image=tile)["upscaled"]
                return upscaled

            pixels = enlarge_tiles(run, colours, self.scale, *self._layouts(image), report)
        return lanczos(Image.fromarray(pixels), width, height)
