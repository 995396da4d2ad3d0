"""Draw with the companions, by diffusers' own pipelines or by sdrt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.judge import Picture
from training.masks import Mask

_BATCH = 10
Prompted = tuple[str, int]  # prompt, seed
WithEdges = tuple[str, Picture, int]
WithHole = tuple[str, Picture, Mask, int]


class Drawers(ABC):
    """One way to draw with every companion in a folder of models."""

    def __init__(self, models: Path, steps: int, guidance: float) -> None:
        self.models, self.steps, self.guidance = models, steps, guidance

    @abstractmethod
    def edges(self, asked: Sequence[WithEdges]) -> list[Picture]:
        """Draw with the ControlNet."""

    @abstractmethod
    def holes(self, asked: Sequence[WithHole]) -> list[Picture]:
        """Draw with the in-painting model; what is kept is not pasted back."""

    @abstractmethod
    def plain(self, asked: Sequence[Prompted]) -> list[Picture]:
        """Draw with the model alone."""

    @abstractmethod
    def outlined(self, asked: Sequence[Prompted]) -> list[Picture]:
        """Draw with the LoRA."""


class DiffusersDrawers(Drawers):
    """Diffusers' pipelines, in float32."""

    def _pipeline(self, name: str, **components: Any) -> Any:
        import diffusers

        pipeline = getattr(diffusers, name).from_pretrained(self.models / "nano", safety_checker=None, **components)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _draw(self, pipeline: Any, asked: Sequence[Any], options: Callable[[Sequence[Any]], dict[str, Any]]) -> list[Picture]:
        import torch

        pictures: list[Picture] = []
        for start in range(0, len(asked), _BATCH):
            rows = asked[start : start + _BATCH]
            drawn = pipeline(
                prompt=[row[0] for row in rows],
                generator=[torch.Generator().manual_seed(row[-1]) for row in rows],
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                output_type="np",
                **options(rows),
            ).images
            pictures.extend(np.round(drawn * 255.0).astype(np.uint8))
        return pictures

    def edges(self, asked: Sequence[WithEdges]) -> list[Picture]:
        """Draw by StableDiffusionControlNetPipeline."""
        from diffusers import ControlNetModel

        controlnet = ControlNetModel.from_pretrained(self.models / "nano-edges").float()
        pipeline = self._pipeline("StableDiffusionControlNetPipeline", controlnet=controlnet)
        return self._draw(pipeline, asked, lambda rows: {"image": [Image.fromarray(row[1]).convert("RGB") for row in rows]})

    def holes(self, asked: Sequence[WithHole]) -> list[Picture]:
        """Draw by StableDiffusionInpaintPipeline."""
        from diffusers import UNet2DConditionModel

        unet = UNet2DConditionModel.from_pretrained(self.models / "nano-inpaint" / "unet").float()
        pipeline = self._pipeline("StableDiffusionInpaintPipeline", unet=unet)
        return self._draw(
            pipeline,
            asked,
            lambda rows: {
                "image": [Image.fromarray(row[1]) for row in rows],
                "mask_image": [Image.fromarray(row[2].astype(np.uint8) * 255) for row in rows],
                "height": rows[0][1].shape[0],
                "width": rows[0][1].shape[1],
            },
        )

    def plain(self, asked: Sequence[Prompted]) -> list[Picture]:
        """Draw by StableDiffusionPipeline."""
        return self._draw(self._pipeline("StableDiffusionPipeline"), asked, lambda _: {})

    def outlined(self, asked: Sequence[Prompted]) -> list[Picture]:
        """Draw by StableDiffusionPipeline, the LoRA merged by this program."""
        from safetensors.torch import load_file

        from training.low_rank import merge

        pipeline = self._pipeline("StableDiffusionPipeline")
        pipeline.unet.float()
        merge(pipeline.unet, load_file(self.models / "nano-outline" / "nano-outline.safetensors"))
        return self._draw(pipeline, asked, lambda _: {})


class SdrtDrawers(Drawers):
    """Sdrt on its numpy backend."""

    def _draw(self, pipe: Any, asked: Sequence[Any], options: Callable[[Any], dict[str, Any]]) -> list[Picture]:
        chosen = {"num_inference_steps": self.steps, "guidance_scale": self.guidance}
        return [np.asarray(pipe.generate(row[0], seed=row[-1], **chosen, **options(row)).images[0]) for row in asked]

    def edges(self, asked: Sequence[WithEdges]) -> list[Picture]:
        """Draw with ``control_image``."""
        import sdrt

        pipe = sdrt.load(self.models / "nano", controlnet=self.models / "nano-edges")
        return self._draw(pipe, asked, lambda row: {"control_image": Image.fromarray(row[1])})

    def holes(self, asked: Sequence[WithHole]) -> list[Picture]:
        """Draw with ``image`` and ``mask_image``."""
        import sdrt

        return self._draw(
            sdrt.load("nano-inpaint"),
            asked,
            lambda row: {
                "image": Image.fromarray(row[1]),
                "mask_image": Image.fromarray(row[2].astype(np.uint8) * 255),
                "paste": False,
            },
        )

    def plain(self, asked: Sequence[Prompted]) -> list[Picture]:
        """Draw with the prompt alone."""
        import sdrt

        return self._draw(sdrt.load(self.models / "nano"), asked, lambda _: {})

    def outlined(self, asked: Sequence[Prompted]) -> list[Picture]:
        """Draw with ``loras``."""
        import sdrt

        pipe = sdrt.load(self.models / "nano", loras=[self.models / "nano-outline" / "nano-outline.safetensors"])
        return self._draw(pipe, asked, lambda _: {})


DRAWERS: dict[str, type[Drawers]] = {"diffusers": DiffusersDrawers, "sdrt": SdrtDrawers}
