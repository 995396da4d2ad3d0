"""U-Net and ControlNet."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import torch
from torch import nn

from sdrt.arrays import Array
from sdrt.backends.component_options import PLAIN, ComponentOptions
from sdrt.backends.torch.adapter import Adapter, sharing_tensors
from sdrt.backends.torch.freeu import scale_frequencies
from sdrt.backends.torch.identity_attention import attend_to_itself
from sdrt.backends.torch.image_prompts import image_prompts
from sdrt.backends.torch.token_merging import merge_tokens
from sdrt.errors import ArrayContractError
from sdrt.models.components.cross_attentions import level_sizes
from sdrt.models.components.feature_places import check_feature_size, feature_places
from sdrt.models.components.self_attentions import finest_self_attentions
from sdrt.models.components.text_time import BASE_NUMBERS, REFINER_NUMBERS

__all__ = ["ControlNet", "Denoiser", "UNet"]


class Denoiser(Adapter):
    """A U-Net or a ControlNet.

    Parameters
    ----------
    module : UNet2DConditionModel or ControlNetModel
    condition_width : int or None
        Of SDXL's pooled text and embedded numbers together; None where the model takes none.
    number_width : int or None
        Of one embedded number.
    """

    # 999 is 1000 in bfloat16, and 1023 a number of SDXL's sizes: both are embedded in float32, and rounded then
    exact: ClassVar[frozenset[str]] = frozenset({"timestep", "time_ids"})

    def __init__(self, module: nn.Module, condition_width: int | None = None, number_width: int | None = None) -> None:
        super().__init__()
        self.module = module
        self.condition_width, self.number_width = condition_width, number_width

    def refuse(self, inputs: Mapping[str, Array]) -> None:
        """Refuse a pooled text whose width does not go with the count of numbers; the signature can only list both."""
        if self.condition_width is None or self.number_width is None or not {"text_embeds", "time_ids"} <= inputs.keys():
            return
        pooled, count = inputs["text_embeds"].shape[1], inputs["time_ids"].shape[1]
        if pooled + count * self.number_width != self.condition_width:
            raise ArrayContractError(
                f"input: text_embeds {pooled} wide and {count} time_ids do not go together; {count} leave room for "
                f"{self.condition_width - count * self.number_width}: SDXL takes {BASE_NUMBERS} numbers, its refiner {REFINER_NUMBERS}"
            )

    def _added(self, text_embeds: torch.Tensor | None, time_ids: torch.Tensor | None) -> dict[str, Any]:
        return {} if text_embeds is None else {"added_cond_kwargs": {"text_embeds": text_embeds, "time_ids": time_ids}}


class UNet(Denoiser):
    """UNet2DConditionModel; a ControlNet's residuals, and features of T2I-Adapters, may come with the other inputs, by their numbers.

    Image prompts come if there are IP-Adapters beside it.
    """

    def refuse(self, inputs: Mapping[str, Array]) -> None:
        """Refuse features of another size than what they are added to."""
        super().refuse(inputs)
        if "sample" not in inputs or "adapter_feature_0" not in inputs:
            return
        config: Any = self.module.config
        sizes = [inputs["sample"].shape[2:]]
        for _ in config.block_out_channels:
            sizes.append(tuple((side + config.downsample_padding) // 2 for side in sizes[-1]))
        for number, (_, halvings) in enumerate(feature_places(config)):
            if (feature := inputs.get(f"adapter_feature_{number}")) is not None:
                check_feature_size(number, feature.shape[2:], sizes[halvings])

    def with_options(self, options: ComponentOptions) -> Self:
        """Return the U-Net that these options make of this one, in modules of its own that share this one's tensors."""
        if replace(options, clip_skip=0) == PLAIN:
            return self
        other = sharing_tensors(self)
        unet: Any = other.module
        if options.freeu is not None:
            scale_frequencies(unet, options.freeu)
        attend_to_itself(unet, options.identity_attention)
        if options.token_merging:
            merge_tokens(unet, [path.removesuffix(".attn1") for path in finest_self_attentions(unet.config)], options.token_merging)
        return other

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        text_embeds: torch.Tensor | None = None,
        time_ids: torch.Tensor | None = None,
        timestep_cond: torch.Tensor | None = None,
        **others: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        extra = self._added(text_embeds, time_ids)
        numbered = [f"adapter_feature_{number}" for number in range(len(others))]
        if features := [others.pop(name) for name in numbered if name in others]:
            # the module empties the list
            extra["down_intrablock_additional_residuals"] = features
        if images := {name: x for name, x in others.items() if name.startswith("ip_adapter_")}:
            config: Any = self.module.config
            sizes = level_sizes(sample.shape[2], sample.shape[3], len(config.block_out_channels), config.downsample_padding)
            extra["cross_attention_kwargs"] = {"ip_hidden_states": image_prompts(images, sizes)}
        if residuals := {name: x for name, x in others.items() if name not in images}:
            *down, middle = (residuals[f"additional_residual_{index}"] for index in range(len(residuals)))
            extra |= {"down_block_additional_residuals": tuple(down), "mid_block_additional_residual": middle}
        outputs: tuple[torch.Tensor, ...] = self.module(
            sample, timestep, encoder_hidden_states, timestep_cond=timestep_cond, return_dict=False, **extra
        )
        return outputs


class ControlNet(Denoiser):
    """ControlNetModel, whose embedding of the picture stands apart, so that it is computed once where the picture is bound.

    Parameters
    ----------
    module : ControlNetModel
    embedding : nn.Module
        The module's own ``controlnet_cond_embedding``; the module itself passes on what it is given.
    reverse_channels : bool
        Whether the picture's channels are turned round first.
    """

    def __init__(self, module: nn.Module, embedding: nn.Module, reverse_channels: bool, **widths: int | None) -> None:
        super().__init__(module, **widths)
        self.embedding, self.reverse_channels = embedding, reverse_channels

    def prepare(self, constants: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if "controlnet_cond" not in constants:
            return constants
        rest = {name: x for name, x in constants.items() if name != "controlnet_cond"}
        return rest | {"embedded_cond": self._embed(constants["controlnet_cond"])}

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        text_embeds: torch.Tensor | None = None,
        time_ids: torch.Tensor | None = None,
        controlnet_cond: torch.Tensor | None = None,
        embedded_cond: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        hint = embedded_cond if controlnet_cond is None else self._embed(controlnet_cond)
        extra = self._added(text_embeds, time_ids)
        down, middle = self.module(sample, timestep, encoder_hidden_states, hint, return_dict=False, **extra)
        return (*down, middle)

    def _embed(self, picture: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = self.embedding(picture.flip(1) if self.reverse_channels else picture)
        return embedded
