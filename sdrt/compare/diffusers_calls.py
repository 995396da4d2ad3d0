"""Calls of diffusers' and transformers' modules as sdrt's contract of networks has them: inputs and outputs by name, as numpy arrays.

Nothing here imports torch: the tensors bring what is needed.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from sdrt.arrays import Array

__all__ = ["TRANSLATORS", "Translate", "arguments_of", "to_array"]

# Inputs and outputs of a call, from the arguments of a module's forward by name, and from what it returned.
Translate: TypeAlias = Callable[[Mapping[str, Any], Any], tuple[dict[str, Array], dict[str, Array]]]


def to_array(tensor: Any) -> Array:
    """Return a tensor as an array of its own; bfloat16, which numpy does not have, as float32."""
    plain = tensor.detach().to("cpu")
    if str(plain.dtype) == "torch.bfloat16":
        plain = plain.float()
    return np.array(plain.numpy())


def arguments_of(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, defaults filled in, for a function that may be a method without its object."""
    signature = inspect.signature(function)
    names = list(signature.parameters)
    bound = signature.bind(*([None] if names[:1] == ["self"] else []), *args, **kwargs)
    bound.apply_defaults()
    return {name: value for name, value in bound.arguments.items() if name != "self"}


def text_encoder(given: Mapping[str, Any], output: Any) -> tuple[dict[str, Array], dict[str, Array]]:
    """Translate a call of CLIP's text model; hidden states are there where the caller asked for them."""
    outputs = {"last_hidden_state": output.last_hidden_state}
    if getattr(output, "hidden_states", None) is not None:
        outputs["penultimate_hidden_state"] = output.hidden_states[-2]
    pooled = getattr(output, "text_embeds", None)
    outputs["pooled"] = output.pooler_output if pooled is None else pooled
    return {"input_ids": to_array(given["input_ids"]).astype(np.int32)}, {name: to_array(x) for name, x in outputs.items()}


def unet(given: Mapping[str, Any], output: Any) -> tuple[dict[str, Array], dict[str, Array]]:
    """Translate a call of a conditional U-Net."""
    inputs = _of_the_loop(given)
    if given.get("timestep_cond") is not None:
        inputs["timestep_cond"] = to_array(given["timestep_cond"])
    if given.get("down_block_additional_residuals") is not None:
        added = [*given["down_block_additional_residuals"], given["mid_block_additional_residual"]]
        inputs |= {f"additional_residual_{k}": to_array(x) for k, x in enumerate(added)}
    return inputs, {"noise_pred": to_array(_first(output, "sample"))}


def controlnet(given: Mapping[str, Any], output: Any) -> tuple[dict[str, Array], dict[str, Array]]:
    """Translate a call of a ControlNet whose residuals are not scaled."""
    inputs = _of_the_loop(given) | {"controlnet_cond": to_array(given["controlnet_cond"])}
    down, middle = (output[0], output[1]) if isinstance(output, tuple) else (output.down_block_res_samples, output.mid_block_res_sample)
    return inputs, {f"additional_residual_{k}": to_array(x) for k, x in enumerate([*down, middle])}


def vae_decoder(given: Mapping[str, Any], output: Any) -> tuple[dict[str, Array], dict[str, Array]]:
    """Translate a call of ``decode``, whose first argument has another name in some autoencoders."""
    return {"z": to_array(next(iter(given.values())))}, {"image": to_array(_first(output, "sample"))}


def vae_encoder(given: Mapping[str, Any], output: Any) -> tuple[dict[str, Array], dict[str, Array]]:
    """Translate a call of ``encode``; an autoencoder without a posterior gives the latents themselves."""
    encoded = output[0] if isinstance(output, tuple) else getattr(output, "latent_dist", None) or output.latents
    name, tensor = ("moments", encoded.parameters) if hasattr(encoded, "parameters") else ("latents", encoded)
    return {"x": to_array(next(iter(given.values())))}, {name: to_array(tensor)}


def safety_checker(given: Mapping[str, Any], output: Any) -> tuple[dict[str, Array], dict[str, Array]]:
    """Translate a call of the safety checker, which keeps its scores to itself."""
    return {"clip_input": to_array(given["clip_input"])}, {"has_nsfw": np.array(output[1], np.bool_)}


TRANSLATORS: Mapping[str, Translate] = {
    "text_encoder": text_encoder,
    "text_encoder_2": text_encoder,
    "unet": unet,
    "controlnet": controlnet,
    "vae_decoder": vae_decoder,
    "vae_encoder": vae_encoder,
    "safety_checker": safety_checker,
}


def _of_the_loop(given: Mapping[str, Any]) -> dict[str, Array]:
    sample = to_array(given["sample"])
    timestep = given["timestep"]
    number = to_array(timestep) if hasattr(timestep, "detach") else np.asarray(timestep)
    inputs = {"sample": sample, "timestep": np.broadcast_to(number.astype(sample.dtype), (len(sample),)).copy()}
    inputs["encoder_hidden_states"] = to_array(given["encoder_hidden_states"])
    return inputs | dict(_added(given.get("added_cond_kwargs") or {}))


def _added(added: Mapping[str, Any]) -> Iterator[tuple[str, Array]]:
    for name in ("text_embeds", "time_ids"):
        if added.get(name) is not None:
            yield name, to_array(added[name])


def _first(output: Any, name: str) -> Any:
    return output[0] if isinstance(output, tuple) else getattr(output, name)
