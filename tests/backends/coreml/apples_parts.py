"""Text encoder, autoencoder and safety checker as Apple's converter hands them to coremltools, in our own words.

Source: apple/ml-stable-diffusion at e12202c, ``torch2coreml.py``; the attention of transformers 4.44, which that version was made for.
"""

from typing import Any

import torch
from torch import nn

__all__ = ["Decoder", "Encoder", "SafetyChecker", "TextEncoder"]


class TextEncoder(nn.Module):
    """A CLIP text encoder whose mask is -10,000 in place of minus infinity, over ids that come as floats.

    Parameters
    ----------
    source : transformers' CLIPTextModel or CLIPTextModelWithProjection
    xl : bool
        Whether to give the state before the last layer, as Stable Diffusion XL takes it.
    """

    def __init__(self, source: Any, *, xl: bool) -> None:
        super().__init__()
        model = getattr(source, "text_model", source)
        self.embeddings, self.layers, self.norm = model.embeddings, model.encoder.layers, model.final_layer_norm
        self.end, self.xl, self.projection = source.config.eos_token_id, xl, getattr(source, "text_projection", None)

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        ids = input_ids.to(torch.int32)
        x, before = self.embeddings(ids), None
        mask = torch.full((ids.shape[1], ids.shape[1]), -1e4, dtype=x.dtype).triu(1)
        for layer in self.layers:
            before = x
            x = x + self._attend(layer.self_attn, layer.layer_norm1(x), mask)
            x = x + layer.mlp(layer.layer_norm2(x))
        last = self.norm(x)
        # transformers looks for the largest id where a configuration has the old end token
        ends = ids.argmax(dim=-1) if self.end == 2 else (ids == self.end).int().argmax(dim=-1)
        pooled = last[torch.arange(last.shape[0]), ends]
        pooled = pooled if self.projection is None else self.projection(pooled)
        return (before if self.xl and before is not None else last), pooled

    def _attend(self, source: Any, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        rows, length, width = x.shape
        heads = source.num_heads

        def apart(values: torch.Tensor) -> torch.Tensor:
            return values.view(rows, length, heads, -1).transpose(1, 2).reshape(rows * heads, length, -1)

        q, k, v = apart(source.q_proj(x) * (width // heads) ** -0.5), apart(source.k_proj(x)), apart(source.v_proj(x))
        weights = (torch.bmm(q, k.transpose(1, 2)) + mask).softmax(dim=-1)
        joined = torch.bmm(weights, v).view(rows, heads, length, -1).transpose(1, 2).reshape(rows, length, width)
        found: torch.Tensor = source.out_proj(joined)
        return found


class Decoder(nn.Module):
    """The autoencoder's decoder, latents already divided by their scaling factor."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.first, self.decoder = vae.post_quant_conv, vae.decoder

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.decoder(self.first(z))
        return found


class Encoder(nn.Module):
    """The autoencoder's encoder up to its moments."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.encoder, self.last = vae.encoder, vae.quant_conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.last(self.encoder(x))
        return found


class SafetyChecker(nn.Module):
    """The safety checker; what it flags is written over with zeros at the flagged places."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self.source = source

    def forward(self, clip_input: torch.Tensor, images: torch.Tensor, adjustment: torch.Tensor) -> tuple[torch.Tensor, ...]:
        source, unit = self.source, nn.functional.normalize
        embedded = unit(source.visual_projection(source.vision_model(clip_input)[1]))
        special = embedded @ unit(source.special_care_embeds).transpose(0, 1) - source.special_care_embeds_weights + adjustment
        careful = special.gt(0).float().sum(dim=1).gt(0).float() * 0.01
        plain = embedded @ unit(source.concept_embeds).transpose(0, 1) - source.concept_embeds_weights
        scores = plain + careful.unsqueeze(1).expand(-1, plain.shape[1])
        flagged = scores.gt(0).float().sum(dim=1).gt(0)[:, None, None, None]
        places, _ = torch.broadcast_tensors(flagged, images)
        images[places] = 0.0
        return images, flagged.float(), scores
