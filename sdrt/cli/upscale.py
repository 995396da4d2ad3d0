"""``sdrt upscale``: pictures made larger, by a network or a resampling."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrt.cli import signals
from sdrt.cli.console import say
from sdrt.cli.downloads import Downloads
from sdrt.cli.json_output import say_json
from sdrt.cli.opening import add_loading, parse_loading
from sdrt.cli.output import Output, add_output
from sdrt.cli.paths import a_model, a_path
from sdrt.cli.progress import Bar
from sdrt.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdrt.upscaling import Upscaler

__all__ = ["UpscaleCommand", "add_command"]

_ABOUT = (
    "Make pictures larger with a network of the forms of ESRGAN and Real-ESRGAN, or with a resampling. Transparency is kept. A PNG, JPEG "
    "or WebP keeps the settings inside the picture, with a note that it was enlarged: they draw the picture as it was before."
)
_LOADING = ("numerics", "threads", "device", "dtype", "pickled", "cache_dir", "reduce_memory")


@dataclass(frozen=True, kw_only=True)
class UpscaleCommand:
    """One ``sdrt upscale``, parsed.

    Parameters
    ----------
    pictures : tuple of Path
    output : Output
    upscaler : str
    size : dict
        ``scale``, or ``width`` and ``height``, for the call of the upscaler.
    options : dict
        What else goes to ``sdrt.load_upscaler``.
    json, quiet : bool
    """

    pictures: tuple[Path, ...]
    output: Output
    upscaler: str
    size: dict[str, Any]
    options: dict[str, Any]
    json: bool
    quiet: bool


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``upscale`` to the command line."""
    command = commands.add_parser(
        "upscale",
        help="make pictures larger",
        description=_ABOUT,
        epilog="example: sdrt upscale circle.93.png --upscaler RealESRGAN_x4plus.safetensors -o large/",
    )
    command.add_argument("pictures", nargs="+", type=a_path, metavar="FILE", help="the pictures")
    command.add_argument(
        "--upscaler",
        type=a_model,
        default="lanczos",
        metavar="MODEL",
        help="a network's file, or a repository of the Hub that has one; nano-upscale; or lanczos, bicubic or nearest (default: lanczos)",
    )
    command.add_argument("--scale", type=float, metavar="X", help="times as wide and as high (default: the network's own scale)")
    command.add_argument(
        "-W", "--width", type=int, metavar="N", help="in pixels, in place of --scale; one side alone keeps the proportions"
    )
    command.add_argument("-H", "--height", type=int, metavar="N", help="in pixels")
    add_output(command)
    command.add_argument("--json", action="store_true", help="print the files and their sizes as JSON")
    command.add_argument("-q", "--quiet", action="store_true", help="print no progress bar, no file names and no remarks")
    group = command.add_argument_group("the network, and what runs it")
    group.add_argument("--tile", type=int, metavar="N", help="the most pixels of a side that go through it at once (default: 192)")
    group.add_argument("--overlap", type=int, metavar="N", help="pixels that neighbouring tiles share (default: 32)")
    group.add_argument(
        "--activation",
        metavar="{relu,leakyrelu}",
        help="of a compact network whose activations have no weights, so that its file is silent",
    )
    group.add_argument("--backend", metavar="NAME", help="numpy or torch (default: numpy)")
    add_loading(group, _LOADING)
    command.set_defaults(run=lambda arguments: run(parse(arguments)), kept="pictures that were finished are kept")


def parse(arguments: argparse.Namespace) -> UpscaleCommand:
    """Return the command that the arguments mean.

    Raises
    ------
    ConfigError, ImageError : a place where no pictures go
    """
    own = {name: getattr(arguments, name) for name in ("tile", "overlap", "activation", "backend")}
    size = {name: getattr(arguments, name) for name in ("scale", "width", "height")}
    return UpscaleCommand(
        pictures=tuple(arguments.pictures),
        output=Output.parse(arguments, len(arguments.pictures), "pictures"),
        upscaler=arguments.upscaler,
        size={name: value for name, value in size.items() if value is not None},
        options={name: value for name, value in own.items() if value is not None} | parse_loading(arguments, _LOADING),
        json=arguments.json,
        quiet=arguments.quiet or arguments.json,
    )


def run(command: UpscaleCommand) -> None:
    """Enlarge and write every picture; those that are written stay, whatever happens to a later one.

    Raises
    ------
    ConfigError, ModelError : see `sdrt.load_upscaler`
    ImageError : a file is no picture, or cannot be written
    """
    from sdrt.upscaling import load_upscaler

    written: list[dict[str, Any]] = []
    with (
        Downloads(quiet=command.quiet) as downloads,
        command.output.opened(),
        load_upscaler(command.upscaler, on_download=downloads, **command.options) as upscaler,
    ):
        for picture in command.pictures:
            written.append(_upscale(command, upscaler, picture))
            if not command.quiet:
                say(written[-1]["file"])
    if command.json:
        say_json({"upscaler": upscaler.name, "pictures": written})


def _upscale(command: UpscaleCommand, upscaler: "Upscaler", picture: Path) -> dict[str, Any]:
    """Enlarge one picture, write it, and return what the JSON says of it."""
    from sdrt.images import open_picture
    from sdrt.images.files import file_name
    from sdrt.images.modes import alpha
    from sdrt.images.saving import ENDINGS

    output, image = command.output, open_picture(picture)
    if output.kind == "jpeg" and alpha(image) is not None:
        raise ImageError(f"{picture}: is transparent, and a JPEG is not; write PNG or WebP")
    with Bar(picture.name, shown=not command.quiet, unit="tile") as bar:
        enlarged = upscaler(image, **command.size, on_progress=bar)
    signals.check()
    name = f"{picture.stem}-{enlarged.width}x{enlarged.height}{next(each for each, of in ENDINGS.items() if of == output.kind)}"
    place = output.path if output.is_file else file_name(output.path / name)
    # a name that is printed is that of a whole file, and no file is left that is not whole
    with signals.deferred():
        file = _write(command, upscaler, picture, image.size, enlarged, place)
    return {"source": str(picture), "file": str(file), "width": enlarged.width, "height": enlarged.height}


def _write(command: UpscaleCommand, upscaler: "Upscaler", picture: Path, before: tuple[int, int], enlarged: "Image", place: Path) -> Path:
    """Write a picture with the texts of the one that it was made of; never over another file."""
    from sdrt.images import save_new_picture
    from sdrt.images.exact_png import exact_png
    from sdrt.images.exif import EXIF_KEYS
    from sdrt.images.saving import pillow_png
    from sdrt.records.upscaled import Enlargement, upscaled_texts

    made = Enlargement(upscaler=upscaler.name, fingerprint=upscaler.fingerprint, before=before, after=enlarged.size)
    texts = upscaled_texts(_texts(picture), made)
    if command.output.kind != "png":
        texts = {key: value for key, value in texts.items() if key in EXIF_KEYS}
    encode = exact_png if command.options.get("numerics") == "exact" else pillow_png
    return save_new_picture(enlarged, place, texts, command.output.kind, command.output.quality, png=encode)


def _texts(picture: Path) -> dict[str, str]:
    """Return the texts of a picture's file; none of a file of another kind, whose pixels were read all the same."""
    from sdrt.images import read_text

    try:
        return read_text(picture)
    except ImageError:
        return {}
