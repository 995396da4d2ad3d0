"""The networks that turn pictures into tokens for a pipeline's IP-Adapters: one image encoder, and a projection for each adapter."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

from sdrt.backends import PLAIN
from sdrt.backends.pool import NetworkPool, OnCall
from sdrt.models import ComponentName, Model
from sdrt.pipeline.feature_extractor import FeatureExtractor

__all__ = ["ImagePrompter"]


@dataclass(frozen=True, eq=False, kw_only=True)
class ImagePrompter:
    """Hold these networks; they are opened when first needed.

    Parameters
    ----------
    adapters : tuple of NetworkPool
        Each with the one component ``image_projection``.
    encoder : NetworkPool or None
        With the component ``image_encoder``; None: the pipeline takes embeddings alone.
    extractor : FeatureExtractor or None
        Prepares pictures for the encoder.
    """

    adapters: tuple[NetworkPool, ...]
    encoder: NetworkPool | None = None
    extractor: FeatureExtractor | None = None

    @classmethod
    def of(cls, adapters: Sequence[NetworkPool], encoder: NetworkPool | None, model: Model) -> Self:
        """Hold the networks of adapters for a model.

        Raises
        ------
        ConfigError : pictures are prepared for another size than the encoder takes
        """
        if encoder is None:
            return cls(adapters=tuple(adapters))
        # how pictures are prepared stands beside the encoder, else with the model, whose safety checker sees them so
        own = encoder.model.feature_extractor_config or model.feature_extractor_config
        extractor = FeatureExtractor.read(own, encoder.model.config("image_encoder")["image_size"])
        return cls(adapters=tuple(adapters), encoder=encoder, extractor=extractor)

    @property
    def networks(self) -> Iterator[tuple[str, NetworkPool, ComponentName]]:
        """Each network under its name in records and recordings."""
        if self.encoder is not None:
            yield "image_encoder", self.encoder, "image_encoder"
        for k, pool in enumerate(self.adapters):
            yield f"image_projection.{k}", pool, "image_projection"

    def with_pools(self, change: Callable[[NetworkPool], NetworkPool]) -> Self:
        """Return the same with other networks in place of each."""
        encoder = None if self.encoder is None else change(self.encoder)
        return replace(self, adapters=tuple(map(change, self.adapters)), encoder=encoder)

    def check(self) -> None:
        """Raise ConfigError unless their backends run them; open nothing."""
        for _, pool, component in self.networks:
            pool.check(component, PLAIN)

    def watched(self, on_call: OnCall) -> Self:
        """Return the same, whose networks tell of their calls."""
        encoder = None if self.encoder is None else self.encoder.watched(on_call)
        numbered = (
            pool.watched(partial(lambda name, _, *arrays: on_call(name, *arrays), f"image_projection.{k}"))
            for k, pool in enumerate(self.adapters)
        )
        return replace(self, encoder=encoder, adapters=tuple(numbered))
