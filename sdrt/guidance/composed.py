"""Composed prompts: several predictions with prompts become the one that another guidance takes.

    prompt_j = negative + sum_k w_k (prompt_jk - negative)      the parts of one prompt, or its only part as it is
    prompt   = sum_j s_j prompt_j                               the prompt and those of regions, each with its share of every latent

Guided by classifier-free guidance, parts give negative + scale * sum_k w_k (prompt_k - negative).

Sources: Liu et al. 2022 (arXiv:2206.01714), equation 11; AUTOMATIC1111/stable-diffusion-webui 1.10.1,
``modules/sd_samplers_cfg_denoiser.py::combine_denoised``. Shares are ComfyUI's for conditions with masks (0.3.64,
``comfy/samplers.py::_calc_cond_batch``): a mean whose weights are masks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F32, Array, Float
from sdrt.errors import ConfigError
from sdrt.guidance.base import Call, Guidance, Guided, split_rows
from sdrt.guidance.rows import NEGATIVE, PERTURBED, PROMPT, Row

__all__ = ["ComposedGuidance", "ComposedPrompt", "compose"]


@dataclass(frozen=True)
class ComposedPrompt:
    """One prompt.

    Parameters
    ----------
    rows : tuple of Row
        One for each part.
    weights : tuple of tuples of float
        Of each part, for each image or for all at once.
    """

    rows: tuple[Row, ...]
    weights: tuple[tuple[float, ...], ...]

    def prediction(self, split: Mapping[Row, Float]) -> Float:
        """Combine the predictions of the parts, float[n,C,h,w] each."""
        if len(self.rows) == 1:
            return split[self.rows[0]]
        negative = split[NEGATIVE]
        combined = negative.copy()
        for row, weights in zip(self.rows, self.weights, strict=True):
            combined += (split[row] - negative) * np.array(weights, negative.dtype).reshape(-1, 1, 1, 1)
        return combined


@dataclass(frozen=True, eq=False)
class ComposedGuidance:
    """Pass one prediction for all prompts on to another guidance.

    Parameters
    ----------
    guidance : Guidance
    prompts : tuple of ComposedPrompt
        The prompt, and those of regions.
    shares : f32[prompts,1,1,h,w] or None
        How much each counts at each latent, 1 together; None for the prompt alone.
    """

    guidance: Guidance
    prompts: tuple[ComposedPrompt, ...]
    shares: F32 | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """Those of the other guidance, those of all prompts, and the negative one if a prompt has parts."""
        needed: tuple[Row, ...] = (NEGATIVE,) if any(len(prompt.rows) > 1 for prompt in self.prompts) else ()
        return tuple(dict.fromkeys((*self.guidance.rows, *needed, *(row for prompt in self.prompts for row in prompt.rows))))

    @property
    def unet_inputs(self) -> Mapping[str, Array]:
        """Those of the other guidance."""
        return self.guidance.unet_inputs

    def __call__(self, predictions: Float, call: Call, /) -> Guided:
        """Combine the prompts, then guide."""
        split = split_rows(predictions, self.rows)
        prompt = self._prediction(split)
        inner = {**split, PROMPT: prompt}
        if PERTURBED in inner:
            # what the perturbation changed, which was made with the first part of the prompt
            inner[PERTURBED] = prompt + (split[PERTURBED] - split[PROMPT])
        return self.guidance(np.concatenate([inner[row] for row in self.guidance.rows]), call)

    def _prediction(self, split: Mapping[Row, Float]) -> Float:
        each = [prompt.prediction(split) for prompt in self.prompts]
        if self.shares is None:
            return each[0]
        total: Float = np.zeros_like(each[0])
        for share, prediction in zip(self.shares, each, strict=True):
            total += share.astype(prediction.dtype, copy=False) * prediction
        return total


def compose(guidance: Guidance, prompts: Sequence[ComposedPrompt], shares: F32 | None = None) -> Guidance:
    """Return a guidance by several prompts or parts; the same guidance for a prompt of one part alone.

    Raises
    ------
    ConfigError : a prompt with parts for a model that takes the scale of guidance as an input, and has no negative prompt
    """
    parted = any(len(prompt.rows) > 1 for prompt in prompts)
    if len(prompts) == 1 and not parted:
        return guidance
    if parted and guidance.unet_inputs:
        raise ConfigError(
            "AND must stand in prompts of models with a negative prompt, got a U-Net that takes the scale as an input; write two calls, "
            "or prompt_syntax='weighted'"
        )
    return ComposedGuidance(guidance, tuple(prompts), shares)
