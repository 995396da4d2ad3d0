"""What a pipeline holds and does beside drawing: its model, its LoRAs, its networks in memory, and decoding."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from sdrt.arrays import Float, Numerics, TensorSpec, check_array, check_finite
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.log import log
from sdrt.models import Model
from sdrt.pipeline.assembly import Assembly
from sdrt.pipeline.loras import LORAS, LoraChoice
from sdrt.pipeline.observer import MakeObserver
from sdrt.pipeline.previews import PreviewKind
from sdrt.pipeline.progress import Cancelled, OnProgress, Report
from sdrt.tokenizer import ClipTokenizer
from sdrt.values import Function

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["LoadedPipeline"]


class LoadedPipeline:
    """Hold a model, its tokenizers and its networks, and decode latents with them.

    Attributes
    ----------
    model : Model
        The model on disk: name, configurations, weights.
    backends : mapping from component to the backend's name
    numerics : "float32", "float64" or "exact"
    """

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._make_observer: MakeObserver | None = None

    @property
    def model(self) -> Model:
        """The model on disk: name, configurations, weights."""
        return self._assembly.base.model

    @property
    def backends(self) -> Mapping[str, str]:
        """The name of the backend that runs each component."""
        return self._assembly.backends

    @property
    def numerics(self) -> Numerics:
        """The precision that the pipeline was loaded with."""
        return self._assembly.numerics

    @property
    def preview_kinds(self) -> tuple[PreviewKind, ...]:
        """The kinds of previews that :meth:`Step.decode` draws here, the cheapest first."""
        return self._assembly.preview_kinds

    @property
    def loras(self) -> tuple[tuple[Path, float], ...]:
        """The LoRAs that are merged, each a file and its strength, as :meth:`set_loras` takes them; not those of prompts."""
        return tuple((each.lora.file, each.strength) for each in self._assembly.loras)

    def set_loras(self, loras: Sequence[LoraChoice]) -> None:
        """Merge other LoRAs into the weights, in place of those that were.

        It holds for later calls; those under way keep theirs. The weights on disk stay as they are, so that none (``[]``) draws what the
        model drew before. Only networks that change are opened again, at their next use.

        Parameters
        ----------
        loras : sequence of files, or of (file, strength)
            As for :func:`sdrt.load`.

        Raises
        ------
        ConfigError : the model is of Core ML packages, or two files have one name
        ModelError : a file is not there, damaged, or for another model
        """
        choices = LORAS.check("loras", loras, "pass a list of files, or of (file, strength)")
        assembly = self._assembly
        if assembly.lora_library is None:
            raise ConfigError("this pipeline takes no LoRAs; make one with sdrt.load")
        self._assembly = assembly.with_loras(assembly.lora_library.choose(choices))

    def decode(self, latents: Float, *, on_progress: OnProgress | None = None) -> "list[Image]":
        """Decode latents one at a time, so that a batch needs no more memory than one image.

        A picture that the safety checker flags is black or blurred, if the pipeline uses one.

        Parameters
        ----------
        latents : float[n,C,h,w]
        on_progress : callable, optional
            As for :meth:`generate`; return False to cancel.

        Returns
        -------
        list of n PIL images; empty if cancelled

        Raises
        ------
        ArrayContractError : not latents of this model, or a NaN or an infinity in them
        """
        assembly = self._assembly
        self._check_latents(latents)
        try:
            images, flagged = assembly.decode(latents, Report(on_progress))
        except Cancelled:
            return []
        assembly.remark_log.tell(assembly.remarks)
        for k, is_flagged in enumerate(flagged or ()):
            if is_flagged:
                log.warning("picture %d of the latents is %s: the safety checker flagged it", k, assembly.flagged_pictures)
        return images

    def _check_latents(self, latents: Float) -> None:
        latent_format, limits = self._assembly.base.latent_format, self._assembly.limits
        dtype = latents.dtype.name if isinstance(latents, np.ndarray) and latents.dtype.kind == "f" else "float32"
        check_array("decode", TensorSpec("latents", dtype, (None, latent_format.channels, None, None)), latents)
        check_finite("decode", "latents", latents)
        limits.check("images", "the images of the latents", len(latents))
        height, width = latents.shape[2:]
        if not height * width:
            raise ArrayContractError(f"decode: latents must have a height and a width, got {height} and {width}; pass those of a picture")
        limits.check("pixels", "height times width of the latents' pictures", height * width * latent_format.pixels**2)

    @contextmanager
    def observing(self, make_observer: MakeObserver) -> Iterator[Self]:
        """Let each call that is made in this context be watched by an observer of its own.

        Parameters
        ----------
        make_observer : callable without arguments
            Makes the observer of one call, see `sdrt.pipeline.observer.Observer`.

        Raises
        ------
        ConfigError : the pipeline's calls are watched already, or ``make_observer`` cannot be called
        """
        Function().check("make_observer", make_observer, "pass a class, or a function without arguments")
        if self._make_observer is not None:
            raise ConfigError("calls of a pipeline must have one observer, got a second one; leave the context of the first")
        self._make_observer = make_observer
        try:
            yield self
        finally:
            self._make_observer = None

    # ---- the model in memory

    def load(self, *, on_progress: OnProgress | None = None) -> Self:
        """Open every network that drawing needs, and return the pipeline.

        Parameters
        ----------
        on_progress : callable, optional
            Called with a :class:`sdrt.Progress` before each network is opened; return False to leave the rest closed.
        """
        with suppress(Cancelled):
            self._assembly.load(Report(on_progress))
        return self

    def unload(self) -> None:
        """Close the networks to free their memory; the next call opens them again."""
        for pool in self._assembly.pools:
            pool.unload()

    def close(self) -> None:
        """Close the networks for good; later calls raise BackendError."""
        for pool in self._assembly.pools:
            pool.close()

    def __reduce__(self) -> str:
        raise ConfigError("a pipeline cannot be pickled or copied, as it holds open networks; call sdrt.load in each process")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def tokenizer(self) -> ClipTokenizer:
        """The model's tokenizer; the first of SDXL's two."""
        return next(iter(self._assembly.base.tokenizers.values()))

    def __repr__(self) -> str:
        names = sorted(set(self.backends.values()))
        backend = repr(names[0]) if len(names) == 1 else repr(dict(self.backends))
        return f"Pipeline({self.model.name!r}, backend={backend}, numerics={self.numerics!r})"
