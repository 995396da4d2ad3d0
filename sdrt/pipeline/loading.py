"""``sdrt.load``: a model's name or folder and a choice of backends become a pipeline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from sdrt.arrays import Numerics
from sdrt.backends import Backend
from sdrt.backends.pool import NetworkPool
from sdrt.errors import ConfigError
from sdrt.files import user_path
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models import (
    EMBEDDED,
    Embedding,
    Pickled,
    PredictionType,
    StoredModel,
    is_folder_of_packages,
    open_component,
    open_model,
    read_embedding,
)
from sdrt.models.components.controlnets import check_fit
from sdrt.option_kinds import NUMERICS
from sdrt.pipeline.assembly import Assembly
from sdrt.pipeline.backend_choice import check_programs, choose_backends, options_of_backends, own_choice, record_notes
from sdrt.pipeline.feature_extractor import FeatureExtractor
from sdrt.pipeline.loaded_model import LoadedModel
from sdrt.pipeline.loras import LORAS, LoraChoice, LoraLibrary
from sdrt.pipeline.pipeline import Pipeline
from sdrt.pipeline.safety_checker import FlaggedPictures
from sdrt.recordings.recognition import is_recording
from sdrt.values import (
    Anything,
    Choice,
    Either,
    FilePath,
    Flag,
    Instance,
    Integer,
    Kind,
    ListOf,
    MappingOf,
    Nullable,
    RefusedError,
    Text,
    read_values,
)

if TYPE_CHECKING:
    from sdrt.recordings import Recording

__all__ = ["load"]


class _Place(Kind[str | Path]):
    """A path, or a name that means a model: text stays text, which may be the name of an embedded model or of a repository."""

    def describe(self) -> str:
        return "a name or a path"

    def convert(self, value: object) -> str | Path:
        path = FilePath().convert(value)
        if value == "":
            raise RefusedError
        return str(value) if isinstance(value, str) else path


class _Model(_Place):
    """The same, or a recording, which is a model by itself."""

    def convert(self, value: object) -> Any:
        if isinstance(value, str | Path):
            return super().convert(value)
        from sdrt.recordings import Recording  # its reader takes time to import, and few models are recordings

        return value if isinstance(value, Recording) else super().convert(value)


_PLACE = _Place()

_KINDS: Mapping[str, Kind[Any]] = {
    "model": _Model(),
    "numerics": NUMERICS,
    "embeddings": Nullable(Either(MappingOf(_PLACE), ListOf(Either(_PLACE, Instance(Embedding))))),
    "controlnet": Nullable(Either(_PLACE, ListOf(_PLACE))),
    "loras": Nullable(LORAS),
    "lora_dir": Nullable(FilePath()),
    "refiner": Nullable(_PLACE),
    "vae": Nullable(_PLACE),
    "variant": Nullable(Text(length=100, empty=False)),
    "prediction_type": Nullable(Choice(*get_args(PredictionType))),
    "pickled": Choice(*get_args(Pickled)),
    "reduce_memory": Flag(),
    "vae_tiling": Nullable(Flag()),
    "safety_checker": Flag(),
    "flagged_pictures": Choice(*get_args(FlaggedPictures)),
    "tokenizer": Nullable(_PLACE),
    "config": Nullable(Either(_PLACE, MappingOf(Anything()))),
    "limits": Instance(Limits),
    "mmap": Flag(),
    "threads": Nullable(Integer(minimum=1)),
}


def load(
    model: "str | Path | Recording" = "nano",
    backend: str | Backend | Mapping[str, str | Backend] | None = None,
    numerics: Numerics = "float32",
    *,
    embeddings: Mapping[str, str | Path] | Sequence[str | Path | Embedding] = (),
    loras: Sequence[LoraChoice] = (),
    lora_dir: str | Path | None = None,
    controlnet: str | Path | Sequence[str | Path] = (),
    refiner: str | Path | None = None,
    vae: str | Path | None = None,
    variant: str | None = None,
    prediction_type: PredictionType | None = None,
    pickled: Pickled = "refuse",
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
        (``"nano"``), or a repository of the Hugging Face Hub, which needs the extra ``hub``. Stable Diffusion 1.x and 2.x, SDXL, their
        in-painting models, LCM; a folder of Core ML packages, as converters name them, or a Resources folder of Swift's package. Or a
        recording of runs (:mod:`sdrt.compare`), whose calls are answered without weights; it takes no other option than ``limits``.
    backend : str, Backend, mapping by component, or None
        Which backend runs the networks. None, and what a mapping leaves out, is ``numpy``, and ``coreml`` for Core ML packages, which alone
        runs those.
    numerics : "float32", "float64" or "exact"
        float32 is fast; float64 is the reference that float32 is measured against; exact gives the same bytes on every machine, and needs
        the numpy backend.
    embeddings : mapping from token to file, or sequence of files or of Embedding
        Textual inversions (safetensors), read now. In a sequence, a file's token is the name of its tensor, or the file's own name without
        the ending where that is ``emb_params``.
    loras : sequence of files, or of (file, strength)
        LoRAs (safetensors) to merge into the weights, of any kind that `sdrt.models.lora` knows, each at strength 1 unless it has one.
        :meth:`Pipeline.set_loras` changes them, and a prompt adds others: ``<lora:name:0.8>``.
    lora_dir : str or Path, optional
        A folder in which LoRAs are found by name, in its subfolders too.
    controlnet : str or Path, or sequence of them
        Folders of ControlNets; each takes a picture in ``generate(control_image=...)``. With Core ML: the name of one in the
        model's folder, or the path of a package.
    refiner : str or Path, optional
        An SDXL refiner's model, which takes over near the end of a run. A folder of Core ML packages may hold both.
    vae : str, Path or None
        A VAE that replaces the model's own: its folder, its repository, or a file with the key names of the original code.
    variant : str or None
        The variant of a folder's weights, such as ``"fp16"``; components without that variant use their plain weights.
    prediction_type : "epsilon", "v_prediction" or None
        What the U-Net of a single-file checkpoint predicts. None: what the file's metadata says; else "epsilon", but for Stable Diffusion
        2.x, where the weights of one norm tell, which the settings' remarks say.
    pickled : "refuse" or "weights_only"
        How to treat pickled weights (``.bin``, ``.ckpt``, ``.pt``, ``.pth``): "weights_only" lets torch read tensors from them and nothing
        else, and needs the extra ``torch``.
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
    given = read_values("", {**backend_options, **locals()}, _KINDS)
    limits.check("threads", "threads", given.get("threads") or 1)
    if _is_recorded(given["model"]):
        from sdrt.pipeline.recorded import load_recording

        return load_recording({**backend_options, **given, "backend": backend}, limits)
    opened = open_model(
        given["model"],
        variant=variant,
        prediction_type=prediction_type,
        pickled=pickled,
        tokenizer=tokenizer,
        config=config,
        limits=limits,
        mmap=mmap,
    )
    if vae is not None:
        factor = _scaling_factor(opened)
        opened = opened.with_override(
            open_component(vae, "vae_decoder", variant=variant, scaling_factor=factor, pickled=pickled, limits=limits, mmap=mmap)
        )
    if safety_checker and "safety_checker" not in opened.components:
        raise ConfigError(f"{opened.path}: the model brings no safety_checker; leave the option out, or add the component's folder")
    if flagged_pictures != "black" and not safety_checker:
        raise ConfigError(f"flagged_pictures={flagged_pictures!r} is for pipelines with a safety checker; set safety_checker=True too")
    if safety_checker:
        # a configuration that does not fit the network raises here
        FeatureExtractor.read(opened.feature_extractor_config, opened.config("safety_checker")["vision_config"]["image_size"])
    chosen = choose_backends(backend, opened)
    check_programs(opened, chosen)
    options = options_of_backends(chosen, numerics, backend_options, low_memory=reduce_memory)
    keep_loaded = not reduce_memory
    with_embeddings = opened.with_embeddings(_read_embeddings(given["embeddings"] or ()))
    base = LoadedModel(with_embeddings, chosen, options, keep_loaded=keep_loaded)
    if given["embeddings"]:
        # built now, so that a token that is already taken raises here
        _ = base.tokenizers
    library = LoraLibrary(with_embeddings, given["lora_dir"])
    controls = given["controlnet"] or ()
    controls = [controls] if isinstance(controls, str | Path) else controls
    refining = None
    if refiner is not None:
        stored = open_model(refiner, variant=variant, pickled=pickled, limits=limits, mmap=mmap)
        stored = stored.as_refiner() if is_folder_of_packages(stored) else stored
        check_programs(stored, chosen)
        refining = LoadedModel(stored, chosen, options, keep_loaded=keep_loaded)
        if not (base.family.takes_sizes and refining.family.takes_sizes):
            raise ConfigError(
                f"refiner must be an SDXL model's, for an SDXL model, got {refining.model.path} for {base.model.path}; leave it out"
            )
    assembly = Assembly(
        base=base,
        refiner=refining,
        controlnets=tuple(
            NetworkPool(_controlnet(each, opened, variant, pickled, limits, mmap=mmap), chosen, options, keep_loaded=keep_loaded)
            for each in controls
        ),
        backends={
            str(component): each.name
            for component, each in chosen.items()
            if component in opened.components or (component == "controlnet" and controls)
        },
        numerics=numerics,
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


def _is_recorded(model: object) -> bool:
    """Return whether a model is a recording, open or on disk."""
    if not isinstance(model, str | Path):
        return True
    return model not in EMBEDDED and is_recording(user_path("model", model))


def _controlnet(name: str | Path, model: StoredModel, variant: str | None, pickled: Pickled, limits: Limits, *, mmap: bool) -> StoredModel:
    if is_folder_of_packages(model):
        from sdrt.models.coreml.component import find_controlnet

        return find_controlnet(name, model)
    controlnet = open_component(name, "controlnet", variant=variant, pickled=pickled, limits=limits, mmap=mmap)
    channels = model.config("vae_decoder")["latent_channels"]
    check_fit(controlnet.config("controlnet"), model.config("unet"), channels, controlnet.path)
    return controlnet


def _scaling_factor(model: StoredModel) -> float:
    """Return the factor of the model's own VAE, for a single-file VAE that replaces it and does not state one."""
    from sdrt.models import SingleFileModel

    if isinstance(model, SingleFileModel):
        return model.release.scaling_factor
    return float(model.config("vae_decoder")["scaling_factor"])


def _read_embeddings(embeddings: Mapping[str, str | Path] | Sequence[str | Path | Embedding]) -> list[Embedding]:
    if isinstance(embeddings, Mapping):
        return [read_embedding(file, token) for token, file in embeddings.items()]
    return [each if isinstance(each, Embedding) else read_embedding(each) for each in embeddings]
