"""``sdrt.load``: a model's name or folder and a choice of backends become a pipeline."""

from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrt.arrays import Numerics
from sdrt.backends import Backend
from sdrt.backends.choosing import options_of_backends
from sdrt.backends.pool import NetworkPool
from sdrt.errors import ConfigError
from sdrt.files import user_path
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models import EMBEDDED, ComponentName, DownloadProgress, Embedding, HubAccess, Pickled, PredictionType, StoredModel
from sdrt.models.families import LatentFormat
from sdrt.models.t2i_adapters import with_t2i_adapters
from sdrt.pipeline.assembly import Assembly
from sdrt.pipeline.backend_choice import (
    check_names,
    check_programs,
    check_takes_ip_adapters,
    choose_backends,
    own_choice,
    record_notes,
)
from sdrt.pipeline.feature_extractor import FeatureExtractor
from sdrt.pipeline.image_prompting import open_image_prompts
from sdrt.pipeline.load_options import LOAD_OPTIONS
from sdrt.pipeline.loaded_model import LoadedModel
from sdrt.pipeline.loras import LoraChoice, LoraLibrary
from sdrt.pipeline.opening import Opening, wants_packages
from sdrt.pipeline.pipeline import Pipeline
from sdrt.pipeline.previews import quick_decoder
from sdrt.pipeline.safety_checker import FlaggedPictures
from sdrt.recordings.recognition import is_recording
from sdrt.values import read_values

if TYPE_CHECKING:
    from sdrt.recordings import Recording

__all__ = ["load"]

_HUB_OPTIONS = ("cache_dir", "token", "revision", "on_download")


def load(
    model: "str | Path | Recording" = "nano",
    backend: str | Backend | Mapping[str, str | Backend] | None = None,
    numerics: Numerics = "float32",
    *,
    embeddings: Mapping[str, str | Path] | Sequence[str | Path | Embedding] = (),
    loras: Sequence[LoraChoice] = (),
    lora_dir: str | Path | None = None,
    controlnet: str | Path | Sequence[str | Path] = (),
    t2i_adapter: str | Path | Sequence[str | Path] = (),
    ip_adapter: str | Path | Sequence[str | Path] = (),
    image_encoder: str | Path | None = None,
    refiner: str | Path | None = None,
    vae: str | Path | None = None,
    preview_vae: str | Path | None = None,
    variant: str | None = None,
    prediction_type: PredictionType | None = None,
    pickled: Pickled = "refuse",
    cache_dir: str | Path | None = None,
    token: str | None = None,
    revision: str | None = None,
    on_download: Callable[[DownloadProgress], Any] | None = None,
    reduce_memory: bool = False,
    vae_tiling: bool | None = None,
    safety_checker: bool = False,
    flagged_pictures: FlaggedPictures = "black",
    tokenizer: str | Path | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    mmap: bool = True,
    **backend_options: Any,
) -> Pipeline:
    """Open a model.

    Weights are read when the first picture is drawn, or by ``pipe.load()``.

    Parameters
    ----------
    model : str, Path or Recording
        A folder in diffusers' layout, a single ``.safetensors`` checkpoint with the original names, the name of an embedded model
        (``"nano"``), or a repository of the Hugging Face Hub, which needs the extra ``hub``: ``"owner/name"``, and behind it
        ``@revision`` and ``::file`` where one is meant. Only what the backend needs of it is fetched. Stable Diffusion 1.x and 2.x, SDXL,
        their in-painting models, LCM; a folder of Core ML packages, as converters name them, or a Resources folder of Swift's package. Or a
        recording of runs (:mod:`sdrt.compare`), whose calls are answered without weights; it takes no other option than ``limits``.
    backend : str, Backend, mapping by component, or None
        Which backend runs the networks. None, and what a mapping leaves out, is ``numpy``, and ``coreml`` for Core ML packages, which alone
        runs those.
    numerics : "float32", "float64" or "exact"
        float32 is fast; float64 is the reference that float32 is measured against; exact gives the same bytes on every machine, and needs
        the numpy backend.
    embeddings : mapping from token to file, or sequence of files or of Embedding
        Textual inversions (safetensors; files, or repositories of the Hub), read now. In a sequence, a file's token is the name of its
        tensor, or the file's own name without the ending where that is ``emb_params``.
    loras : sequence of files, or of (file, strength)
        LoRAs (safetensors; files, or repositories of the Hub) to merge into the weights, of any kind that `sdrt.models.lora` knows, each at
        strength 1 unless it has one. :meth:`Pipeline.set_loras` changes them, and a prompt adds others: ``<lora:name:0.8>``.
    lora_dir : str or Path, optional
        A folder in which LoRAs are found by name, in its subfolders too.
    controlnet : str or Path, or sequence of them
        Folders or repositories of ControlNets; each takes a picture in ``generate(control_image=...)``. With Core ML: the name of one in
        the model's folder, or the path of a package.
    t2i_adapter : str or Path, or sequence of them
        Folders, repositories or single files of T2I-Adapters; each takes a picture in ``generate(adapter_image=...)``.
    ip_adapter : str or Path, or sequence of them
        Files of IP-Adapters, or files of repositories (``"h94/IP-Adapter::models/ip-adapter_sd15.safetensors"``), which let the U-Net look
        at pictures: ``generate(ip_adapter_image=...)``. Plain, "plus" and "full face" adapters, on backends numpy and torch.
    image_encoder : str, Path or None
        The folder or repository of the image encoder that they were trained with. None: a folder ``image_encoder`` beside the first
        adapter's file, or in the model's.
    refiner : str or Path, optional
        An SDXL refiner's model, which takes over near the end of a run. A folder of Core ML packages may hold both.
    vae : str, Path or None
        A VAE that replaces the model's own: its folder, its repository, or a file with the key names of the original code. A quick one
        (TAESD) decodes in a fraction of the time; ``"taesd"`` means the one that is known for the model's latents, of the Hub or embedded.
    preview_vae : str, Path or None
        A quick autoencoder beside the model's own VAE, named likewise, whose decoder draws previews: ``step.decode(kind="taesd")``. It
        changes no picture of a run.
    variant : str or None
        The variant of a folder's weights, such as ``"fp16"``; components without that variant use their plain weights. Where Core ML
        packages lie in several folders, one of these, such as ``"split_einsum/compiled"``; None takes ``original/packages``.
    prediction_type : "epsilon", "v_prediction" or None
        What the U-Net of a single-file checkpoint predicts. None: what the file's metadata says; else "epsilon", but for Stable Diffusion
        2.x, where the weights of one norm tell, which the settings' remarks say.
    pickled : "refuse" or "weights_only"
        How to treat pickled weights (``.bin``, ``.ckpt``, ``.pt``, ``.pth``): "weights_only" lets torch read tensors from them and nothing
        else, and needs the extra ``torch``.
    cache_dir : str, Path or None
        Where repositories of the Hub are kept; None is the Hub client's own cache, which other programs share.
    token : str or None
        A Hub access token; None is ``HF_TOKEN``, or the login of the Hub's client.
    revision : str or None
        The branch, tag or commit of the model's repository. For other repositories, write it after the name: ``"owner/name@revision"``.
    on_download : callable or None
        Called with a `DownloadProgress` before the first byte of a download, with the size of all its files, and after each piece of
        them; an exception that it raises cancels the download, and the next call goes on from there.
    reduce_memory : bool
        Keep one network in memory at a time, each in its backend's low-memory mode, and decode large pictures tile by tile.
    vae_tiling : bool, optional
        Whether pictures larger than the autoencoder was trained for are decoded tile by tile; None: if ``reduce_memory`` is set.
    safety_checker : bool
        Whether the model's safety checker inspects every picture and hides those that it flags.
    flagged_pictures : "black" or "blurred"
        What becomes of flagged pictures; blurred until nothing in them can be recognised.
    tokenizer : str, Path or None
        For Core ML packages without a vocabulary beside them: a tokenizer's folder, or a model's that has one. None is CLIP's own.
    config : str, Path, mapping or None
        For Core ML packages without configurations beside them: a folder in diffusers' layout, or a scheduler's configuration. None infers
        them from the packages' shapes, and from Stable Diffusion 1.x (or XL) as published; each picture's settings record the assumptions.
    limits : Limits
        The most that files and calls may ask for: images of a call, pixels, steps and the like.
    mmap : bool
        Whether weights are views of their files, so that the system reads what is used and may drop it again. A file that is cut short
        meanwhile then ends the process (SIGBUS). False reads weights into memory, for files that may change and for drives in a network.
    **backend_options
        ``threads``, and the backend's own options. With several backends, each option goes to those that have it.

    Raises
    ------
    ConfigError : unknown backend, component or option, or an embedding that does not fit the model
    ModelError : the folder lacks a component, or an embedding or a LoRA cannot be read or is for another model

    >>> load("nano").model.name
    'nano'
    """
    given = read_values("", {**backend_options, **locals()}, LOAD_OPTIONS)
    limits.check("threads", "threads", given.get("threads") or 1)
    if _is_recorded(given["model"]):
        from sdrt.pipeline.recorded import load_recording

        alone = {name: value for name, value in given.items() if name not in _HUB_OPTIONS}
        return load_recording({**backend_options, **alone, "backend": backend}, limits)
    # what is refused is refused before gigabytes are fetched
    check_names(backend)
    if flagged_pictures != "black" and not safety_checker:
        raise ConfigError(f"flagged_pictures={flagged_pictures!r} is for pipelines with a safety checker; set safety_checker=True too")
    opening = Opening(
        variant=variant,
        pickled=pickled,
        limits=limits,
        mmap=mmap,
        hub=HubAccess(given["cache_dir"], token, revision, on_download),
        packages=wants_packages(backend),
    )
    controls, t2i_adapters, ip_adapters = (_as_list(given[name]) for name in ("controlnet", "t2i_adapter", "ip_adapter"))
    if image_encoder is not None and not ip_adapters:
        raise ConfigError("image_encoder is for pipelines with an IP-Adapter; pass ip_adapter=file too, or leave it out")
    opened = opening.model(
        given["model"],
        vae=given["vae"],
        own_image_encoder=bool(ip_adapters) and image_encoder is None,
        controlnets=controls,
        safety_checker=safety_checker,
        prediction_type=prediction_type,
        tokenizer=tokenizer,
        config=config,
    )
    if safety_checker and "safety_checker" not in opened.components:
        raise ConfigError(f"{opened.path}: the model brings no safety_checker; leave the option out, or add the component's folder")
    if safety_checker:
        # a configuration that does not fit the network raises here
        FeatureExtractor.read(opened.feature_extractor_config, opened.config("safety_checker")["vision_config"]["image_size"])
    chosen = choose_backends(backend, opened)
    check_programs(opened, chosen)
    if ip_adapters:
        check_takes_ip_adapters(opened)
    options = options_of_backends(chosen, numerics, backend_options, low_memory=reduce_memory)
    keep_loaded = not reduce_memory
    adapted = [opening.t2i_adapter(each, opened) for each in t2i_adapters]
    pixels = LatentFormat.read(opened.config("vae_decoder")).pixels
    with_embeddings = with_t2i_adapters(opened, adapted, pixels).with_embeddings(opening.embeddings(given["embeddings"] or ()))
    with_adapters, prompter = with_embeddings, None
    if ip_adapters:
        with_adapters, prompter = open_image_prompts(
            opening, ip_adapters, image_encoder, with_embeddings, lambda each: NetworkPool(each, chosen, options, keep_loaded=keep_loaded)
        )
    base = LoadedModel(with_adapters, chosen, options, keep_loaded=keep_loaded)
    if given["embeddings"]:
        # built now, so that a token that is already taken raises here
        _ = base.tokenizers
    preview_decoder = None
    if given["preview_vae"] is not None:
        quick = opening.quick_vae(given["preview_vae"], opened)
        own, ran_by = base.latent_format, chosen["vae_decoder"]
        preview_decoder = quick_decoder(quick, own, ran_by, options["vae_decoder"], keep_loaded=keep_loaded)
    beside: set[ComponentName] = set() if prompter is None else {component for _, _, component in prompter.networks}
    beside |= {"controlnet"} if controls else set()
    beside |= {"t2i_adapter"} if t2i_adapters else set()
    library = LoraLibrary(with_embeddings, given["lora_dir"], opening.others)
    refining = None
    if refiner is not None:
        stored = opening.refiner(refiner)
        check_programs(stored, chosen)
        refining = LoadedModel(stored, chosen, options, keep_loaded=keep_loaded)
        if not (base.family.takes_sizes and refining.family.takes_sizes):
            raise ConfigError(
                f"refiner must be an SDXL model's, for an SDXL model, got {refining.model.path} for {base.model.path}; leave it out"
            )
    assembly = Assembly(
        base=base,
        image_prompter=prompter,
        refiner=refining,
        controlnets=tuple(NetworkPool(opening.controlnet(each, opened), chosen, options, keep_loaded=keep_loaded) for each in controls),
        t2i_adapters=tuple(NetworkPool(each, chosen, options, keep_loaded=keep_loaded) for each in adapted),
        backends={str(component): each.name for component, each in chosen.items() if component in _used_components(opened, beside)},
        numerics=numerics,
        preview_decoder=preview_decoder,
        vae_tiling=reduce_memory if vae_tiling is None else vae_tiling,
        safety_checker=safety_checker,
        flagged_pictures=flagged_pictures,
        limits=limits,
        notes=record_notes(opened, options),
        assumed=own_choice(opened, backend),
        lora_library=library,
    )
    if chosen_loras := given["loras"]:
        assembly = assembly.with_loras(library.choose(chosen_loras))
    assembly.remark_log.tell(assembly.remarks)
    return Pipeline(assembly)


def _as_list(places: str | Path | Sequence[str | Path] | None) -> Sequence[str | Path]:
    return () if places is None else [places] if isinstance(places, str | Path) else places


def _used_components(model: StoredModel, beside: Set[ComponentName]) -> Set[ComponentName]:
    """Return the components whose backends the record names: the model's, and those of networks beside it."""
    # an image encoder in the model's folder has nothing to do without an IP-Adapter
    return {*(each for each in model.components if each != "image_encoder"), *beside}


def _is_recorded(model: object) -> bool:
    """Return whether a model is a recording, open or on disk."""
    if not isinstance(model, str | Path):
        return True
    return model not in EMBEDDED and is_recording(user_path("model", model))
