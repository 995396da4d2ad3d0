"""``sdrt.load_upscaler``: a name, a file or a repository becomes an upscaler."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from sdrt.arrays import Numerics
from sdrt.backends import Backend
from sdrt.backends.choosing import chosen_backend, options_of_backends
from sdrt.errors import ConfigError
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models import DownloadProgress, HubAccess, Pickled, open_upscaler
from sdrt.models.hub import check_revision
from sdrt.models.upscalers.compact import Activation
from sdrt.option_kinds import NUMERICS
from sdrt.upscaling.base import Upscaler
from sdrt.upscaling.network import NetworkUpscaler
from sdrt.upscaling.resampling import RESAMPLINGS, Resampler
from sdrt.values import Anything, Choice, FilePath, Flag, Function, Instance, Kind, Nullable, Text, read_values

__all__ = ["find_upscaler", "load_upscaler"]

_KINDS: Mapping[str, Kind[Any]] = {
    "numerics": NUMERICS,
    "activation": Nullable(Choice(*get_args(Activation))),
    "pickled": Choice(*get_args(Pickled)),
    "cache_dir": Nullable(FilePath()),
    # HubAccess checks it, without showing it
    "token": Anything(),
    "revision": Nullable(Text(length=200, empty=False)),
    "on_download": Nullable(Function()),
    "reduce_memory": Flag(),
    "limits": Instance(Limits),
    "mmap": Flag(),
}


def load_upscaler(
    upscaler: str | Path,
    backend: str | Backend = "numpy",
    numerics: Numerics = "float32",
    *,
    tile: int | None = None,
    overlap: int | None = None,
    activation: Activation | None = None,
    pickled: Pickled = "refuse",
    cache_dir: str | Path | None = None,
    token: str | None = None,
    revision: str | None = None,
    on_download: Callable[[DownloadProgress], Any] | None = None,
    reduce_memory: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    mmap: bool = True,
    **backend_options: Any,
) -> Upscaler:
    """Open an upscaler, and read its weights.

    Parameters
    ----------
    upscaler : str or Path
        A file (safetensors) of RRDBNet or SRVGGNetCompact, as ESRGAN, Real-ESRGAN and what was trained after them write it; a repository of
        the Hugging Face Hub, ``owner/name`` or ``owner/name::file``; ``"nano-upscale"``, which is embedded; or ``"lanczos"``, ``"bicubic"``
        or ``"nearest"``, which are Pillow's, refuse ``tile``, ``overlap`` and ``activation``, and heed ``limits`` alone of the others.
        Scale, blocks and widths are those that the tensors tell.
    backend : str or Backend
        "numpy" or "torch".
    numerics : "float32", "float64" or "exact"
        Of the network, see `sdrt.load`; exact needs the numpy backend, and a scale that is the network's own to owe nothing to Pillow.
    tile : int or None
        The most pixels of the side of a piece that goes through the network at once; None: 192, or two or four times that for a network
        that unshuffles pixels.
    overlap : int or None
        The pixels that neighbouring tiles share and are blended across, at most a third of a tile; None: a sixth of a tile, at most 32, or
        two or four times that.
    activation : "relu", "leakyrelu" or None
        Of a compact model whose activations have no weights, so that its tensors do not tell.
    pickled : "refuse" or "weights_only"
        What to do about a ``.pth``: "weights_only" lets torch read tensors from it and nothing else.
    cache_dir, token, revision, on_download
        For a repository of the Hub, see `sdrt.load`.
    reduce_memory : bool
        Close the network between calls, and leave its weights in their file.
    limits : Limits
        ``pixels`` bounds the results.
    mmap : bool
        Whether weights are views of their file, see `sdrt.load`.
    **backend_options
        ``threads``, and the backend's own options.

    Raises
    ------
    ConfigError : an unknown backend or option, a tile of fewer than 16 pixels, too large an overlap
    ModelError : the file cannot be read, is damaged, or is something else, which the message names

    >>> load_upscaler("lanczos").upscale([], 64, 64)
    []
    """
    given = read_values("", locals(), _KINDS)
    check_revision(given["revision"], upscaler)
    if isinstance(upscaler, str) and upscaler in RESAMPLINGS:
        of_networks = {"tile": tile, "overlap": overlap, "activation": activation}
        if passed := [name for name, value in of_networks.items() if value is not None]:
            raise ConfigError(f"{', '.join(passed)} must be left out for {upscaler}, which is no network; leave it out, or pass a network")
        return Resampler(upscaler, limits)
    if isinstance(backend, Mapping):
        raise ConfigError("backend must be one name or Backend for an upscaler, got a mapping by component; pass backend='numpy'")
    chosen = chosen_backend(backend)
    [options] = options_of_backends({"upscaler": chosen}, numerics, backend_options, low_memory=reduce_memory).values()
    model = open_upscaler(
        upscaler,
        activation=activation,
        pickled=pickled,
        hub=HubAccess(given["cache_dir"], token, revision, on_download),
        limits=limits,
        mmap=mmap,
    )
    opened = NetworkUpscaler(model, chosen, options, tile, overlap)
    opened.load()
    return opened


def find_upscaler(choice: str | Path | Upscaler, **options: Any) -> Upscaler:
    """Return the upscaler that an option means: one that is open already as it is, else as `load_upscaler` opens it with these options.

    Parameters
    ----------
    choice : str, Path or Upscaler
    **options
        Of `load_upscaler`.

    Raises
    ------
    ConfigError, ModelError : as of `load_upscaler`
    """
    return choice if isinstance(choice, Upscaler) else load_upscaler(choice, **options)
