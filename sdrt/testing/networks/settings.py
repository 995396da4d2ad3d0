"""The inputs of trials: drawn row by row, so that a row is the same in a call with one row more."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import F32, I32, Array
from sdrt.models.components.controlnets import is_union
from sdrt.models.components.denoisers import residual_widths
from sdrt.models.components.text_time import BASE_NUMBERS, REFINER_NUMBERS, has_text_time
from sdrt.testing.networks.cases import Case

__all__ = ["Inputs", "Setting", "inputs_of"]

Inputs = Mapping[str, Array]

_PICTURES = 2  # that a union is given, of these sorts
_SORTS = (1, 4)


@dataclass(frozen=True)
class Setting:
    """What a network is called with.

    Parameters
    ----------
    rows, height, width, length : int
        Of the batch; of latents (a picture is eight times as high and wide); of the text in tokens.
    timesteps : tuple of float
        One for all rows, or one for each.
    seed : int
        Of the numbers.
    scale : float
        Deviation of a sample.
    residuals : bool
        Whether a U-Net gets a ControlNet's.
    """

    rows: int = 1
    height: int = 8
    width: int = 8
    length: int = 9
    timesteps: tuple[float, ...] = (500.0,)
    seed: int = 0
    scale: float = 1.0
    residuals: bool = False

    @property
    def pixels(self) -> int:
        """Latents of all rows, which is what a call costs."""
        return self.rows * self.height * self.width


def inputs_of(case: Case, config: Mapping[str, Any], setting: Setting) -> dict[str, Array]:
    """Draw the inputs of a call: every number is one of float32, in an array of float64; whole numbers are int32."""
    return _Draw(case, config, setting).inputs()


@dataclass(frozen=True)
class _Draw:
    case: Case
    config: Mapping[str, Any]
    setting: Setting

    def inputs(self) -> dict[str, Array]:
        setting, config = self.setting, self.config
        height, width = setting.height, setting.width
        match self.case.component:
            case "text_encoder" | "text_encoder_2":
                return {"input_ids": self._ids()}
            case "vae_decoder":
                return {"z": _wide(setting.scale * self._normal("z", config["latent_channels"], height, width))}
            case "vae_encoder":
                return {"x": _wide(self._picture("x", config["in_channels"]) * 2.0 - 1.0)}
            case "safety_checker":
                edge = config["vision_config"]["image_size"]
                return {"clip_input": _wide(setting.scale * self._normal("clip_input", 3, edge, edge))}
        arrays: dict[str, Array] = {
            "sample": setting.scale * self._normal("sample", config["in_channels"], height, width),
            "timestep": np.resize(np.array(setting.timesteps), setting.rows),
            "encoder_hidden_states": self._normal("encoder_hidden_states", setting.length, config["cross_attention_dim"]),
            **(self._added() if has_text_time(config) else {}),
            **(self._pictures() if self.case.component == "controlnet" else {}),
        }
        if config.get("time_cond_proj_dim"):
            arrays["timestep_cond"] = self._normal("timestep_cond", config["time_cond_proj_dim"])
        if setting.residuals:
            arrays |= self._residuals()
        return {name: x if x.dtype == np.int32 else _wide(x) for name, x in arrays.items()}

    def _ids(self) -> I32:
        """Random tokens to the end; in every second row the end token comes before, and fills what follows, as padding does."""
        size, length = self.config["vocab_size"], self.setting.length
        ids = np.empty((self.setting.rows, length), np.int32)
        for row in range(self.setting.rows):
            ids[row] = self._stream("input_ids", row).randint(0, size - 2, length)
            ids[row, 0] = size - 2
            end = length - 1 if row % 2 != self.setting.seed % 2 else max(length // 2 + row, 1)
            ids[row, end:] = size - 1
        return ids

    def _added(self) -> dict[str, Array]:
        """SDXL's pooled text, and numbers as users have them."""
        config = self.config
        joint, each = config["projection_class_embeddings_input_dim"], config["addition_time_embed_dim"]
        count = REFINER_NUMBERS if self.case.family == "sdxl-refiner" else BASE_NUMBERS
        pooled = joint - count * each
        numbers = (1024.0, 768.0, 16.0, 40.0, *((6.0,) if count == REFINER_NUMBERS else (832.0, 640.0)))
        rows = [np.array(numbers) + 8.0 * row + 16.0 * self.setting.seed for row in range(self.setting.rows)]
        return {"text_embeds": self._normal("text_embeds", pooled), "time_ids": np.stack(rows)}

    def _pictures(self) -> dict[str, Array]:
        rows = self.setting.rows
        if not is_union(self.config):
            return {"controlnet_cond": self._picture("controlnet_cond", self.config["conditioning_channels"])}
        channels, sorts = self.config["conditioning_channels"], self.config["num_control_type"]
        pictures = [self._picture(f"controlnet_cond {index}", channels) for index in range(_PICTURES)]
        types = [[(sort + row + self.setting.seed) % sorts for sort in _SORTS] for row in range(rows)]
        scales = [[1.0 - 0.25 * row / (row + 1), 0.5 + 0.1 * (self.setting.seed % 7)] for row in range(rows)]
        return {
            "controlnet_cond": np.stack(pictures, axis=1),
            "control_type": np.array(types, np.int32),
            "control_scale": np.array(scales),
        }

    def _residuals(self) -> dict[str, Array]:
        residuals = {}
        for index, (channels, halvings) in enumerate(residual_widths(self.config)):
            # a convolution of stride 2 rounds up
            height, width = (-(-side // 2**halvings) for side in (self.setting.height, self.setting.width))
            residuals[f"additional_residual_{index}"] = self._normal(f"residual {index}", channels, height, width)
        return residuals

    def _picture(self, name: str, channels: int) -> F32:
        """Coarse colours from 0 to 1 with some grain, eight pixels a latent."""
        shape = (channels, self.setting.height, self.setting.width)
        coarse = self._rows(name, lambda stream: stream.random_sample(shape)).repeat(8, axis=2).repeat(8, axis=3)
        grain = self._rows(f"{name} grain", lambda stream: stream.random_sample((channels, 8 * shape[1], 8 * shape[2])))
        picture: F32 = 0.8 * coarse + 0.2 * grain
        return picture

    def _normal(self, name: str, *shape: int) -> F32:
        return self._rows(name, lambda stream: stream.standard_normal(shape))

    def _rows(self, name: str, draw: Any) -> F32:
        rows: F32 = np.stack([draw(self._stream(name, row)) for row in range(self.setting.rows)])
        return rows

    def _stream(self, name: str, row: int) -> np.random.RandomState:
        return np.random.RandomState([self.setting.seed, zlib.crc32(name.encode()), row])


def _wide(x: Array) -> Array:
    return x.astype(np.float32).astype(np.float64)
