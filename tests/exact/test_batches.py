"""Under exact numerics a batch is no more than its images: each is drawn as it is drawn alone."""

from typing import Any

import numpy as np

import sdrt


def drawn(pipe: Any, **options: Any) -> Any:
    return pipe.generate("a red circle", num_inference_steps=2, **options)


def test_an_image_of_a_batch_is_that_image_alone() -> None:
    """Latents and pixels, whether guidance's rows are predicted together or one after the other."""
    with sdrt.load("nano", numerics="exact") as pipe:
        together = drawn(pipe, seed=7, num_images=2)
        for batching in ("batched", "sequential"):
            alone = drawn(pipe, seed=8, guidance_batching=batching)
            assert alone.latents[0].tobytes() == together.latents[1].tobytes()
            assert np.array_equal(np.asarray(alone.images[0]), np.asarray(together.images[1]))
