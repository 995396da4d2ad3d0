"""Pictures as arrays of a recording, and back: the same pixels in the same mode, so that a record knows them again."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sdrt.arrays import U8, Array
from sdrt.errors import RecordingError
from sdrt.images.inputs import pixels_of
from sdrt.printable import shown

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["input_arrays", "inputs_of", "pixels"]

_PREFIX = "given."


def pixels(image: "Image") -> U8:
    """Return the bytes of a picture: u8[H,W] or u8[H,W,c] where a pixel has whole bytes, else u8[n]."""
    content = np.frombuffer(image.tobytes(), np.uint8)
    area = image.width * image.height
    if image.mode == "1" or content.size % area:
        return content
    channels = content.size // area
    return content.reshape((image.height, image.width) if channels == 1 else (image.height, image.width, channels))


def input_arrays(inputs: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return what a caller passed to a run as arrays, and what each of them is.

    Parameters
    ----------
    inputs : mapping from option to array, list of arrays, Picture, or list of Pictures, which may be nested

    Returns
    -------
    arrays : dict
        By names such as ``given.image.0``.
    about : dict
        For each option, whether it is a list, and the mode and size of each picture; None for an array of numbers.
    """
    arrays: dict[str, Array] = {}
    about: dict[str, Any] = {}
    for name, value in inputs.items():
        if name in ("latents", "image_latents", "ip_adapter_image_embeds"):
            numbers = value if isinstance(value, list | tuple) else [value]
            arrays |= {f"{_PREFIX}{name}.{k}": each for k, each in enumerate(numbers)}
            about[name] = None
            continue
        listed = isinstance(value, list | tuple)
        # nested lists one after another, as a record knows them again
        images = [pixels_of(name, each) for each in _leaves(value)]
        arrays |= {f"{_PREFIX}{name}.{k}": pixels(image) for k, image in enumerate(images)}
        about[name] = {"list": listed, "pictures": [{"mode": image.mode, "size": list(image.size)} for image in images]}
    return arrays, about


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the pictures in nested lists, or the one picture; None stands for none."""
    if isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    elif value is not None:
        yield value


def inputs_of(about: object, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Return what a caller passed to a run, as far as its arrays are there.

    Raises
    ------
    RecordingError : an option's pictures cannot be made of what the recording says
    """
    if not isinstance(about, Mapping):
        return {}
    inputs: dict[str, Any] = {}
    for name, what in about.items():
        held = [arrays[each] for each in arrays if each.startswith(f"{_PREFIX}{name}.")]
        if not held:
            continue
        if what is None:
            inputs[name] = held if len(held) > 1 else held[0]
            continue
        try:
            images = [_image(each, array) for each, array in zip(what["pictures"], held, strict=True)]
            inputs[name] = images if what["list"] else images[0]
        except (KeyError, TypeError, ValueError) as error:
            raise RecordingError(f"{name} must be pictures with mode and size, got {shown(what)} ({error}); record it again") from error
    return inputs


def _image(what: Mapping[str, Any], array: Array) -> "Image":
    from PIL import Image

    width, height = what["size"]
    return Image.frombytes(what["mode"], (width, height), array.tobytes())
