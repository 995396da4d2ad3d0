"""What Apple's two pipelines ask of packages, in our own words, over sdrt's executor in the place of Core ML.

Source: apple/ml-stable-diffusion at e12202c: ``coreml_model.py`` and ``pipeline.py``; ``TextEncoder.swift``, ``TextEncoderXL.swift``,
``Unet.swift``, ``Encoder.swift``, ``Decoder.swift``, ``ControlNet.swift`` and ``SafetyChecker.swift``. Nothing here is lenient: what theirs
look up without asking whether it is there is looked up without asking here too.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml import MLProgram
from tests.backends.coreml.peer import ct

__all__ = ["PythonModel", "SwiftModel", "as_picture", "python_picture", "swift_latents", "swift_noise", "swift_picture"]

_DTYPES = {65552: "float16", 65568: "float32", 131104: "int32"}


class PythonModel:
    """``CoreMLModel``: takes arrays of exactly the dtypes and shapes that a package states.

    Parameters
    ----------
    path : Path
        Of an .mlpackage, whose specification is read, or of an .mlmodelc, whose ``metadata.json`` is.
    """

    def __init__(self, path: Path) -> None:
        self.expected: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]
        if path.suffix == ".mlmodelc":
            (described,) = json.loads((path / "metadata.json").read_text())
            self.expected = {
                each["name"]: (tuple(json.loads(each["shape"])), np.dtype(each["dataType"].lower())) for each in described["inputSchema"]
            }
        else:
            inputs = ct.utils.load_spec(str(path)).description.input
            arrays = {each.name: each.type.multiArrayType for each in inputs}
            self.expected = {name: (tuple(each.shape), np.dtype(_DTYPES[each.dataType])) for name, each in arrays.items()}
        self._path = path

    @cached_property
    def _program(self) -> MLProgram:
        return MLProgram(self._path)

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        for name, value in inputs.items():
            if name not in self.expected:
                raise ValueError(f"unexpected {name}")
            shape, dtype = self.expected[name]
            if not isinstance(value, np.ndarray) or value.dtype != dtype or value.shape != shape:
                raise TypeError(f"{name} must be {dtype}{shape}")
        return self._program.predict(inputs)


class SwiftModel:
    """``ManagedMLModel``: a model's descriptions by name, and predictions from float32 arrays."""

    def __init__(self, path: Path) -> None:
        description = ct.utils.load_spec(str(path)).description
        arrays = {each.name: each.type.multiArrayType for each in description.input}
        self.inputs = {name: tuple(each.shape) for name, each in arrays.items()}
        self._dtypes = {name: _DTYPES[each.dataType] for name, each in arrays.items()}
        self.outputs = [each.name for each in description.output]
        self._path = path

    @cached_property
    def _program(self) -> MLProgram:
        return MLProgram(self._path)

    def only_input(self) -> tuple[str, tuple[int, ...]]:
        """Return the name and shape of the first input, which has to be the only one: Swift's dictionary has no order."""
        ((name, shape),) = self.inputs.items()
        return name, shape

    def only_output(self) -> str:
        """Return the name of the first output, which has to be the only one."""
        (name,) = self.outputs
        return str(name)

    def prediction(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """Predict; Core ML takes no heed of names beside its own, and converts float32 to the dtypes of the package."""
        arrays = {name: np.asarray(given[name], np.float32).astype(dtype) for name, dtype in self._dtypes.items()}
        assert {name: array.shape for name, array in arrays.items()} == self.inputs
        return self._program.predict(arrays)


def swift_noise(models: Sequence[SwiftModel], given: Mapping[str, Array]) -> Array:
    """Predict the noise as ``Unet.swift`` does: each half gets the inputs of the first, and what the one before it gives."""
    results = models[0].prediction(given)
    for half in models[1:]:
        results = half.prediction({**given, **results})
    return results[models[-1].only_output()]


def swift_latents(models: Sequence[SwiftModel]) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Return the shapes of ``sample`` and ``time_ids`` (for XL) of the first half."""
    return models[0].inputs["sample"], models[0].inputs.get("time_ids")


def swift_picture(
    models: Mapping[str, Sequence[SwiftModel]],
    ids: Sequence[Array],
    scheduler: Any,
    timesteps: Sequence[int],
    noise: Array,
    *,
    guidance: float,
) -> Array:
    """Draw a picture as ``StableDiffusionPipeline.swift`` and ``StableDiffusionXLPipeline.swift`` do: values from -1 to 1, [1,3,H,W].

    Parameters
    ----------
    models : mapping
        By the names in Resources, ``Unet`` in halves or not.
    ids : sequence of i64[2,77]
        Of each text encoder, the negative prompt's first.
    scheduler : tests.schedulers.swift_pndm.SwiftPndm
    timesteps : sequence of int
    noise : f64[1,4,h,w]
    guidance : float
    """
    encoders = [models[name][0] for name in ("TextEncoder", "TextEncoder2") if name in models]
    texts = [[_text(encoder, row) for row in rows] for encoder, rows in zip(encoders, ids, strict=True)]
    states = np.concatenate([np.concatenate([each["states"] for each in rows]) for rows in texts], axis=-1)
    given = {"encoder_hidden_states": states.transpose(0, 2, 1)[:, :, None]}
    (decoder,), (sample, time_ids) = models["VAEDecoder"], swift_latents(models["Unet"])
    if time_ids is not None:
        side = 8 * sample[3]
        given["text_embeds"] = np.concatenate([each["pooled_outputs"] for each in texts[-1]])
        given["time_ids"] = np.array([side, side, 0, 0, side, side] * 2, np.float32).reshape(time_ids)
    latents = noise.reshape(1, *sample[1:])
    for t in timesteps:
        given |= {"sample": np.concatenate([latents, latents]), "timestep": np.array([t, t])}
        without, with_prompt = np.split(swift_noise(models["Unet"], given).astype(np.float64), 2)
        latents = scheduler.step(without + guidance * (with_prompt - without), t, latents)
    # the last x0 is decoded, not the last sample
    name, shape = decoder.only_input()
    scale = 0.18215 if time_ids is None else 0.13025
    return decoder.prediction({name: (scheduler.x0s[-1] / scale).reshape(shape)})[decoder.only_output()]


def _text(encoder: SwiftModel, ids: Array) -> dict[str, Array]:
    name, shape = encoder.only_input()
    found = encoder.prediction({name: ids.reshape(shape)})
    return {**found, "states": found["last_hidden_state" if "last_hidden_state" in found else "hidden_embeds"]}


def python_picture(
    parts: Mapping[str, PythonModel],
    ids: Mapping[str, Array],
    scheduler: Any,
    noise: Array,
    *,
    steps: int,
    guidance: float,
    scale: float,
    picture: Array,
) -> Array:
    """Draw a picture as ``pipeline.py`` does, but for its rounding of the first noise: values from -1 to 1, [1,3,H,W].

    Parameters
    ----------
    parts : mapping
        By role; with a ``controlnet``, the U-Net is ``control_unet``.
    ids : mapping
        Of token ids i64[2,77], the negative prompt's first, for each text encoder.
    scheduler : diffusers' scheduler
    noise : f32[1,4,h,w]
    steps, guidance
    scale : float
        The scaling factor of the latents, which is 0.18215 there for every model.
    picture : f32[1,3,H,W]
        For a ControlNet, values from 0 to 1.
    """
    import torch

    states, added = _encoded(parts, ids)
    unet = parts["control_unet" if "controlnet" in parts else "unet"]
    rows, _, height, width = unet.expected["sample"][0]
    assert (rows, 1, 4, height, width) == (2, *noise.shape)
    scheduler.set_timesteps(steps)
    latents = torch.from_numpy(noise * float(scheduler.init_noise_sigma))
    for t in scheduler.timesteps:
        sample = scheduler.scale_model_input(torch.cat([latents] * 2), t).numpy().astype(np.float16)
        given = {"sample": sample, "timestep": np.array([t, t], np.float16), "encoder_hidden_states": states}
        if "controlnet" in parts:
            residuals = parts["controlnet"](**given, controlnet_cond=np.repeat(picture, 2, axis=0).astype(np.float16))
            given |= {name: value.astype(np.float16) for name, value in residuals.items()}
        without, with_prompt = torch.from_numpy(unet(**given, **added)["noise_pred"]).chunk(2)
        latents = scheduler.step(without + guidance * (with_prompt - without), t, latents).prev_sample
    dtype = parts["vae_decoder"].expected["z"][1]
    return parts["vae_decoder"](z=(latents.numpy() / scale).astype(dtype))["image"]


def _encoded(parts: Mapping[str, PythonModel], ids: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
    found = {role: [parts[role](input_ids=row[None].astype(np.float32)) for row in rows] for role, rows in ids.items()}
    xl = "text_encoder_2" in ids
    name = "hidden_embeds" if xl else "last_hidden_state"
    rows = [np.concatenate([each[index][name] for each in found.values()], axis=-1) for index in (0, 1)]
    states = np.concatenate(rows).transpose(0, 2, 1)[:, :, None].astype(np.float16)
    if not xl:
        return states, {}
    pooled = np.concatenate([each["pooled_outputs"] for each in found["text_encoder_2"]]).astype(np.float16)
    size = [8 * side for side in parts["unet"].expected["sample"][0][2:]]
    return states, {"text_embeds": pooled, "time_ids": np.array([[*size, 0, 0, *size]] * 2, np.float16)}


def as_picture(image: Array) -> Array:
    """Return bytes [H,W,3] of values from -1 to 1, [1,3,H,W]."""
    found: Array = np.rint(255 * np.clip(image[0].transpose(1, 2, 0) / 2 + 0.5, 0, 1))
    return found
