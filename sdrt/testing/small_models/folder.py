"""Whole folders in diffusers' layout: configurations, weights, tokenizers and a scheduler."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sdrt.arrays import Array
from sdrt.errors import ConfigError
from sdrt.files import user_path
from sdrt.images.files import make_folder
from sdrt.models import COMPONENTS, ComponentName
from sdrt.printable import shown
from sdrt.testing.small_models.configs import (
    CONTROLNETS,
    FAMILIES,
    PIPELINES,
    SAFETY_CHECKER,
    TEXT_ENCODERS,
    TEXT_ENCODERS_2,
    UNETS,
    UNION,
    VAES,
    FamilyName,
)
from sdrt.testing.small_models.tensors import component_tensors
from sdrt.testing.small_models.tokenizer import vocabulary, write_tokenizer
from sdrt.values import Choice

__all__ = ["write_component", "write_controlnet", "write_model"]

# What may stand in a folder beside the components that its pipeline needs.
_EXTRAS: tuple[ComponentName, ...] = ("controlnet", "safety_checker")

# What transformers writes before the names of its tensors: release 5 reads both spellings, release 4 this one alone.
_PREFIXES: Mapping[ComponentName, tuple[tuple[str, str], ...]] = {
    "text_encoder": (("embeddings.", "text_model."), ("encoder.", "text_model."), ("final_layer_norm.", "text_model.")),
    "text_encoder_2": (("embeddings.", "text_model."), ("encoder.", "text_model."), ("final_layer_norm.", "text_model.")),
    "safety_checker": (("vision_model.", "vision_model."),),
}


def write_model(folder: str | Path, family: FamilyName = "sd1", *, seed: int = 0, extras: Collection[ComponentName] = ()) -> Path:
    """Write a small model of a family, every tensor random: some 15 to 40 MB, which open in a tenth of a second.

    diffusers and transformers load the folder as they load a published one. It needs neither of them, nor torch.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    family : str
        ``"sd1"``, ``"sd2"`` (v-prediction), ``"inpaint"`` (9 channels), ``"lcm"``, ``"sdxl"`` or ``"sdxl-refiner"``.
    seed : int
    extras : collection of str
        ``"controlnet"`` (of sd1, sd2 and sdxl) and ``"safety_checker"``, to have those too.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigError : an unknown family, an extra that it does not have, or no path
    ImageError : the folder cannot be made

    >>> import sdrt, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sdrt.load(write_model(folder, "sd2")).generate("a red circle", num_inference_steps=1, width=64, height=64).images[0].size
    (64, 64)
    """
    _check_family(family)
    if unknown := [each for each in extras if each not in _EXTRAS]:
        raise ConfigError(f"extras must be among {', '.join(_EXTRAS)}, got {shown(unknown[0])}; leave it out")
    path = user_path("folder", folder)
    make_folder(path)
    write_component(path / "unet", "unet", UNETS[family], seed)
    write_component(path / "vae", "vae_decoder", VAES[family], seed)
    _write_json(path / "scheduler" / "scheduler_config.json", _scheduler(family))
    index: dict[str, Any] = {
        "_class_name": PIPELINES[family],
        "_diffusers_version": "0.42.1",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        **_write_encoders(path, family, seed),
    }
    has_checker = "safety_checker" in extras
    if family in TEXT_ENCODERS_2:
        refines = family == "sdxl-refiner"
        index |= {"force_zeros_for_empty_prompt": not refines} | ({"requires_aesthetics_score": True} if refines else {})
    else:
        index |= {"requires_safety_checker": has_checker, "feature_extractor": [None, None], "image_encoder": [None, None]}
        index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"] if has_checker else [None, None]
    _write_json(path / "model_index.json", index)
    if has_checker:
        write_component(path / "safety_checker", "safety_checker", SAFETY_CHECKER, seed)
    if "controlnet" in extras:
        write_controlnet(path / "controlnet", family, seed=seed)
    return path


def write_controlnet(folder: str | Path, family: FamilyName = "sd1", *, union: bool = False, seed: int = 0) -> Path:
    """Write a small ControlNet for the models of a family, those convolutions random too that start at zero in training.

    Parameters
    ----------
    folder : path
    family : "sd1", "sd2" or "sdxl"
    union : bool
        Whether it takes several sorts of pictures (SDXL).
    seed : int

    Raises
    ------
    ConfigError : a family without ControlNets here, or no path
    ImageError : the folder cannot be made
    """
    _check_family(family)
    if family not in CONTROLNETS or (union and family != "sdxl"):
        have = "sdxl" if union else ", ".join(CONTROLNETS)
        raise ConfigError(f"the family of a {'union' if union else 'ControlNet'} must be {have}, got {shown(family)}; pass one of those")
    path = user_path("folder", folder)
    make_folder(path)
    write_component(path, "controlnet", UNION if union else CONTROLNETS[family], seed)
    return path


def write_component(folder: Path, component: ComponentName, config: Mapping[str, Any], seed: int = 0) -> None:
    """Write ``config.json`` and the weights of one component; an autoencoder with both of its halves.

    Parameters
    ----------
    folder : Path
    component : ComponentName
    config : mapping
        The keys that differ from the defaults of its class.
    seed : int

    Raises
    ------
    ConfigError : a configuration that the numpy backend does not run
    """
    from safetensors.numpy import save_file

    whole = _whole_config(component, config)
    halves: tuple[ComponentName, ...] = ("vae_decoder", "vae_encoder") if folder_of(component) == "vae" else (component,)
    tensors: dict[str, Array] = {}
    for half in halves:
        tensors |= {_stored_name(half, name): value for name, value in component_tensors(half, whole, seed).items()}
    _write_json(folder / "config.json", whole)
    by_transformers = "architectures" in whole
    save_file(tensors, folder / f"{'model' if by_transformers else 'diffusion_pytorch_model'}.safetensors", metadata={"format": "pt"})


def folder_of(component: ComponentName) -> str:
    """Return the name of a component's folder in a model's."""
    return COMPONENTS[component].folder


def _check_family(family: str) -> None:
    Choice(*FAMILIES).check("family", family, "choose one of those")


def _stored_name(component: ComponentName, name: str) -> str:
    return next((prefix + name for start, prefix in _PREFIXES.get(component, ()) if name.startswith(start)), name)


def _whole_config(component: ComponentName, config: Mapping[str, Any]) -> dict[str, Any]:
    """Add the class, and what diffusers' and transformers' own defaults would get wrong."""
    match component:
        case "unet":
            return {"_class_name": "UNet2DConditionModel", **config}
        case "controlnet":
            return {"_class_name": "ControlNetUnionModel" if "num_control_type" in config else "ControlNetModel", **config}
        case "vae_decoder" | "vae_encoder":
            levels = len(config["block_out_channels"])
            blocks = {"down_block_types": ["DownEncoderBlock2D"] * levels, "up_block_types": ["UpDecoderBlock2D"] * levels}
            return {"_class_name": "AutoencoderKL", **blocks, **config}
        case "safety_checker":
            return {"architectures": ["StableDiffusionSafetyChecker"], "model_type": "clip", **config}
    size = len(vocabulary())
    kind = "CLIPTextModel" if component == "text_encoder" else "CLIPTextModelWithProjection"
    ids = {"vocab_size": size, "bos_token_id": size - 2, "eos_token_id": size - 1, "pad_token_id": size - 1}
    return {"architectures": [kind], "model_type": "clip_text_model", **ids, **config}


def _write_encoders(path: Path, family: FamilyName, seed: int) -> dict[str, Any]:
    """Write text encoders and tokenizers; return their entries of ``model_index.json``."""
    encoders: list[tuple[ComponentName, str, Mapping[FamilyName, Mapping[str, Any]]]] = [("text_encoder", "tokenizer", TEXT_ENCODERS)]
    if family in TEXT_ENCODERS_2:
        encoders.append(("text_encoder_2", "tokenizer_2", TEXT_ENCODERS_2))
    index: dict[str, Any] = {}
    for component, tokenizer, configs in encoders:
        index |= {component: [None, None], tokenizer: [None, None]}
        if family in configs:
            write_component(path / component, component, configs[family], seed)
            write_tokenizer(path / tokenizer)
            kind = "CLIPTextModel" if component == "text_encoder" else "CLIPTextModelWithProjection"
            index |= {component: ["transformers", kind], tokenizer: ["transformers", "CLIPTokenizer"]}
    return index


def _scheduler(family: FamilyName) -> dict[str, Any]:
    """DDIM on Stable Diffusion's own noise schedule, nothing clipped."""
    return {
        "_class_name": "DDIMScheduler",
        "_diffusers_version": "0.42.1",
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "prediction_type": "v_prediction" if family == "sd2" else "epsilon",
    }


def _write_json(file: Path, values: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
