"""The sizes of picture and latents that a package is for."""

from dataclasses import dataclass

from converter.options import ConvertOptions
from converter.source import Source
from sdrt.errors import ConfigError
from sdrt.models.components.denoisers import latent_multiple
from sdrt.models.families import LatentFormat

__all__ = ["Sizes", "parse_sizes", "resolve_sizes"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Pictures and latents, size by size; the first is the default.

    Parameters
    ----------
    latents : tuple of (height, width)
    factor : int
        Pixels of a picture along a side of one latent.
    """

    latents: tuple[tuple[int, int], ...]
    factor: int

    @property
    def pictures(self) -> tuple[tuple[int, int], ...]:
        """(height, width) in pixels."""
        return tuple((height * self.factor, width * self.factor) for height, width in self.latents)


def resolve_sizes(source: Source, options: ConvertOptions) -> Sizes:
    """The sizes that the options ask for, or the model's own one.

    Raises
    ------
    ConfigError : a size that the networks cannot halve as often as they do
    """
    factor, halvings = LatentFormat.read(source.config("vae_decoder")).pixels, latent_multiple(source.config("unet"))
    asked = options.sizes or ((_own_side(source, "height", factor), _own_side(source, "width", factor)),)
    if bad := [size for size in asked if any(side % factor for side in size)]:
        raise ConfigError(f"height and width are multiples of {factor * halvings}; got {bad[0][0]}x{bad[0][1]} (height x width)")
    latents = [(height // factor, width // factor) for height, width in asked]
    if not options.sizes:
        (height, width), *_ = latents
        latents = [(height if options.latent_height is None else options.latent_height, options.latent_width or width)]
    if bad := [size for size in latents if any(side % halvings for side in size)]:
        (height, width), *_ = bad
        raise ConfigError(
            f"latents of {height}x{width} (height x width; pictures of {height * factor}x{width * factor}) cannot be halved as often as "
            f"the U-Net does; take multiples of {halvings}, which are {halvings * factor} pixels"
        )
    return Sizes(latents=tuple(latents), factor=factor)


def parse_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """Sizes as the command line takes them, WIDTHxHEIGHT as pictures are named everywhere: (height, width) of each.

    Raises
    ------
    ConfigError : text of another form

    >>> parse_sizes("512x512,512x768")
    ((512, 512), (768, 512))
    """
    found = []
    for size in text.split(","):
        width, _, height = size.strip().lower().partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise ConfigError(f"--sizes is WIDTHxHEIGHT, or several with commas between them, as 512x512,512x768; got {size!r}")
        found.append((int(height), int(width)))
    return tuple(found)


def _own_side(source: Source, name: str, factor: int) -> int:
    said = source.model.defaults.get(name)
    if said is not None:
        return int(said)
    size = source.config("unet")["sample_size"]
    if size is None:
        raise ConfigError(f"{source.name}: its U-Net's configuration says no sample_size; pass the picture's size")
    rows, columns = (size, size) if isinstance(size, int) else size
    return int(rows if name == "height" else columns) * factor
