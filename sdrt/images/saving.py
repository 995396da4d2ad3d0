"""Write pictures that carry texts, as PNG, JPEG or WebP, whole or not at all."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sdrt.errors import ImageError
from sdrt.images.exif import to_exif
from sdrt.images.modes import check_image
from sdrt.printable import shown
from sdrt.values import Choice, FilePath, Integer, MappingOf, Nullable, Text

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "ENDINGS",
    "PictureFormat",
    "PngEncoder",
    "cannot_write",
    "check_format",
    "check_quality",
    "format_of",
    "pillow_png",
    "save_picture",
    "written",
]

PictureFormat: TypeAlias = Literal["png", "jpeg", "webp"]

# From a picture and its texts to the bytes of a PNG file.
PngEncoder: TypeAlias = Callable[["Image", Mapping[str, str]], bytes]

# The endings of files that can be written; of two of one format, the first is the usual one.
ENDINGS: Mapping[str, PictureFormat] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}

_FORMAT = Choice(*dict.fromkeys(ENDINGS.values()))
_NAMES = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP"}
_QUALITY = Nullable(Integer(1, 100))
_DEFAULT_QUALITY = 95
# A segment of a JPEG holds this much besides its length.
_SEGMENT = 65_533

_TEXT = MappingOf(Text(length=None))
# 79 bytes are the most that PNG allows.
_KEY = Text(length=79, empty=False)


def format_of(file: Path) -> PictureFormat | None:
    """Return the format that a file's ending asks for; None if it is none that is written here.

    >>> format_of(Path("a.JPG")), format_of(Path("a.gif"))
    ('jpeg', None)
    """
    return ENDINGS.get(file.suffix.lower())


def check_format(name: object) -> PictureFormat:
    """Return the name of a format.

    Raises
    ------
    ImageError : it is none
    """
    return _FORMAT.check("format", name, "choose one of those", ImageError)  # type: ignore[no-any-return]


def check_quality(quality: object, kind: PictureFormat) -> int | None:
    """Return the quality of a lossy format; None is the default, and all that PNG takes.

    Raises
    ------
    ImageError : not a whole number from 1 to 100, or a quality for PNG
    """
    number: int | None = _QUALITY.check("quality", quality, "pass such a number", ImageError)
    if number is not None and kind == "png":
        raise ImageError(f"quality must be left out for PNG, which loses nothing, got {number}; write JPEG or WebP, or leave it out")
    return number


def pillow_png(image: "Image", text: Mapping[str, str]) -> bytes:
    """Encode a PNG by Pillow, whose zlib decides the bytes."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    content = BytesIO()
    image.save(content, format="png", pnginfo=info)
    return content.getvalue()


def save_picture(
    image: "Image",
    file: Path,
    text: Mapping[str, str],
    kind: PictureFormat | None = None,
    quality: int | None = None,
    *,
    png: PngEncoder = pillow_png,
) -> None:
    """Write a picture, whole or not at all, replacing a file of that name; see `written`."""
    with written(image, file, text, kind, quality, png=png) as temporary:
        temporary.replace(file)


@contextmanager
def written(
    image: "Image",
    file: Path,
    text: Mapping[str, str],
    kind: PictureFormat | None = None,
    quality: int | None = None,
    *,
    png: PngEncoder = pillow_png,
) -> Iterator[Path]:
    """Write a picture under a temporary name beside ``file``; the ``with`` body moves it into place.

    The temporary name is removed afterwards, whatever happens.

    Parameters
    ----------
    image : PIL.Image.Image
    file : Path
    text : mapping
        Text chunks of a PNG; a JPEG or WebP holds ``parameters`` and ``sdrt`` in its EXIF.
    kind : "png", "jpeg", "webp" or None
        None: what the file's ending asks for.
    quality : int or None
        Of JPEG and WebP, 1 to 100. None: 95.
    png : PngEncoder
        Encodes a PNG.

    Raises
    ------
    ImageError : the folder is not there, or cannot be written; no image, path, text or format; a text that is too long for a JPEG
    """
    check_image("image", image)
    file = FilePath().check("file", file, "pass the path of a picture", ImageError)
    if not file.name:
        raise ImageError(f"file must be the path of a picture, got {shown(str(file))}; add a name to it")
    chosen = format_of(file) if kind is None else check_format(kind)
    if chosen is None:
        raise ImageError(f"file must end in {', '.join(ENDINGS)}, got {shown(file.name)}; choose one of those")
    texts = _TEXT.check("text", text, "pass the texts of a picture", ImageError)
    encode = _encoder(chosen, texts, check_quality(quality, chosen), png)
    try:
        content = encode(image)
    except Exception as error:
        # a mode that no such file has, or a picture that is read only now
        raise ImageError(
            f"image cannot be written as {_NAMES[chosen]} ({error or type(error).__name__}); convert it to RGB first"
        ) from error
    temporary = file.with_name(f".{file.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        try:
            with temporary.open("xb") as stream:
                stream.write(content)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise cannot_write(file, error) from error


def cannot_write(file: Path, error: OSError | ValueError) -> ImageError:
    """Return the error for a file or folder that the system refuses to write; a ValueError is about its name."""
    if isinstance(error, ImageError):
        return error
    reason = error.strerror or error if isinstance(error, OSError) else "no file can have this name"
    return ImageError(f"{file}: cannot be written ({reason}); choose another place")


def _encoder(kind: PictureFormat, text: Mapping[str, str], quality: int | None, png: PngEncoder) -> "Callable[[Image], bytes]":
    """Return what encodes a picture, after a look at its texts."""
    if kind != "png":
        exif = to_exif(text)
        if kind == "jpeg" and len(exif) > _SEGMENT:
            raise ImageError(f"the texts of a JPEG must fit its EXIF of {_SEGMENT} bytes, got {len(exif)}; write PNG or WebP")
        # colours at full size: what is drawn has sharp edges
        fine = {"subsampling": 0} if kind == "jpeg" else {}
        return partial(_lossy, kind, {"exif": exif, "quality": quality or _DEFAULT_QUALITY, **fine})
    for key in text:
        _KEY.check("a key of text", key, "shorten it", ImageError)
        if "\0" in key or not key.isascii():
            raise ImageError(f"a key of text must be ASCII without NUL, got {shown(key)}; write another")
    return lambda image: png(image, text)


def _lossy(kind: PictureFormat, options: Mapping[str, Any], image: "Image") -> bytes:
    content = BytesIO()
    image.save(content, format=kind, **options)
    return content.getvalue()
