"""The sizes of images and latents that a package accepts."""

from dataclasses import dataclass

from converter.options import ConvertOptions
from converter.source import Source
from sdrt.errors import ConfigError
from sdrt.models.components.denoisers import latent_multiple
from sdrt.models.families import LatentFormat
from sdrt.printable import shown

__all__ = ["Sizes", "parse_sizes", "resolve_sizes"]

_LONGEST_SIZE = 40  # characters; Python reads no number of thousands of digits


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of images and latents; the first is the default.

    Parameters
    ----------
    latents : tuple of (height, width)
    factor : int
        Pixels of the image for each latent, along a side.
    """

    latents: tuple[tuple[int, int], ...]
    factor: int

    @property
    def pictures(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the images, in pixels."""
        return tuple((height * self.factor, width * self.factor) for height, width in self.latents)


def resolve_sizes(source: Source, options: ConvertOptions) -> Sizes:
    """Return the sizes that the options request, or the model's own size.

    Raises
    ------
    ConfigError : a size that the networks cannot halve as often as they need to
    """
    factor, halvings = LatentFormat.read(source.config("vae_decoder")).pixels, latent_multiple(source.config("unet"))
    requested = options.sizes or ((_own_side(source, "height", factor), _own_side(source, "width", factor)),)
    if bad := [size for size in requested if any(side % factor for side in size)]:
        raise ConfigError(f"height and width must be multiples of {factor * halvings}, got {bad[0][0]}x{bad[0][1]}; choose such")
    latents = [(height // factor, width // factor) for height, width in requested]
    if not options.sizes:
        (height, width), *_ = latents
        latents = [(height if options.latent_height is None else options.latent_height, options.latent_width or width)]
    if bad := [size for size in latents if any(side % halvings for side in size)]:
        (height, width), *_ = bad
        raise ConfigError(
            f"latents must be multiples of {halvings}, as the U-Net halves them, got {height}x{width} (height x width; images of "
            f"{height * factor}x{width * factor}); choose images in multiples of {halvings * factor} pixels"
        )
    return Sizes(latents=tuple(latents), factor=factor)


def parse_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """Parse the command line's sizes, WIDTHxHEIGHT as images are usually described, to (height, width) of each.

    Raises
    ------
    ConfigError : text of another form

    >>> parse_sizes("512x512,512x768")
    ((512, 512), (768, 512))
    """
    sizes = []
    for size in text.split(","):
        width, _, height = size.strip().lower().partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise ConfigError(
                f"--sizes must be WIDTHxHEIGHT, or several separated by commas, as 512x512,512x768, got {shown(size)}; write that"
            )
        sizes.append((int(height), int(width)))
    return tuple(sizes)


def _own_side(source: Source, name: str, factor: int) -> int:
    default = source.model.defaults.get(name)
    if default is not None:
        return int(default)
    size = source.config("unet")["sample_size"]
    if size is None:
        raise ConfigError(f"{source.name}: its U-Net's configuration must state a sample_size, got none; pass the image's size")
    rows, columns = (size, size) if isinstance(size, int) else size
    return int(rows if name == "height" else columns) * factor
