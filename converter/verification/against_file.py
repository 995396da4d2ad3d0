"""Verify a network against the file that it was read from, so that a misreading that package and source share cannot pass.

A package is compared with the torch module that sdrt fills. That the module is what the file holds is checked here by two other ways: each
tensor of the file has been used, and diffusers' or transformers' own loader reads the same numbers into the same places, where it can load
the file at all.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from sdrt.errors import ConversionError
from sdrt.log import log
from sdrt.models import ComponentFolder, ModelFolder, SingleFileModel
from sdrt.models.component_file import ComponentFile
from sdrt.models.component_tensors import read_tensors
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.pickled import PICKLE_SUFFIXES
from sdrt.models.recorded import RecordedModel
from sdrt.models.stored_model import StoredModel

if TYPE_CHECKING:
    import torch

__all__ = ["check_against_file"]

_log = log.getChild("converter")


def check_against_file(model: StoredModel, component: ComponentName) -> None:
    """Check that a component, as it is read, is what its file holds.

    Raises
    ------
    ConversionError : the file holds tensors that nothing uses, or the peer's loader reads another number somewhere
    ModelError : as of opening the component
    """
    from sdrt.backends.torch.construction import open_module
    from sdrt.backends.torch.filling import parameters_by_name

    owner = _owner(model, component)
    recorded = RecordedModel(owner)
    module = open_module(component, recorded.as_model(), mapped=True)
    unused = [*recorded.check().values(), *(text for topic, text in owner.remarks.items() if topic.startswith("unused tensors"))]
    if unused:
        raise ConversionError(f"{unused[0]}; remove those tensors to convert the rest, or pass --no-check-output-correctness")
    theirs, ours = _peers_tensors(owner, component), parameters_by_name(module, component)
    if not ours.keys() <= theirs.keys():
        # it knows fewer names and layouts, and leaves out what it does not know
        _log.info("%s: not compared with its peer's loader, which does not read it", component)
        return
    if wrong := [name for name, parameter in ours.items() if not _equal(parameter, theirs[name])]:
        raise ConversionError(
            f"{owner.where(component)}: {len(wrong)} of the {len(ours)} tensors of the {component} are not as diffusers reads them (first "
            f"{wrong[0]!r}); report this with the model's name"
        )


def _owner(model: StoredModel, component: ComponentName) -> StoredModel:
    """Return the model whose files hold a component: the model, or what stands in for it."""
    found = next((each for each in model.overrides if component in each.components), model)
    return cast("StoredModel", found)


def _equal(ours: "torch.Tensor", theirs: "torch.Tensor") -> bool:
    import torch

    return theirs.numel() == ours.numel() and torch.equal(ours, theirs.float().reshape(ours.shape))


def _peers_tensors(model: StoredModel, component: ComponentName) -> "Mapping[str, torch.Tensor]":
    """Return a component's tensors by canonical name as the peer's loader reads them; none where it cannot."""
    from sdrt.backends.torch.extra import quiet

    files = model.files(component)
    if any(file.suffix.lower() in PICKLE_SUFFIXES for file in files):
        return {}
    with quiet():
        try:
            if isinstance(model, ModelFolder | ComponentFolder):
                found = _from_folder(model, component)
            elif isinstance(model, SingleFileModel | ComponentFile):
                found = _from_single_file(model, component)
            else:
                return {}
        except Exception as error:  # noqa: BLE001 the peer raises what it stumbles over, of any kind
            _log.info("%s: the peer's loader fails (%s: %s)", component, type(error).__name__, error)
            return {}
    canonical_name = COMPONENTS[component].canonical_name
    return {canonical_name(name): tensor for name, tensor in found.items()}


def _from_folder(model: ModelFolder | ComponentFolder, component: ComponentName) -> "Mapping[str, torch.Tensor]":
    import torch

    from sdrt.backends.torch.construction import peers_class

    folder = model.where(component).parent
    variant = model.variant if model.variant and any(f".{model.variant}" in file.name for file in model.files(component)) else None
    kind = peers_class(component, model.config(component))
    peer, report = kind.from_pretrained(
        folder, variant=variant, torch_dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    if report["missing_keys"] or report["mismatched_keys"]:
        return {}
    return dict(peer.state_dict())


def _from_single_file(model: SingleFileModel | ComponentFile, component: ComponentName) -> "Mapping[str, torch.Tensor]":
    from diffusers.loaders import single_file_utils as peer
    from safetensors.torch import load_file

    if any(tensor.scale is not None for tensor in read_tensors(model.path)):
        return {}
    stored, config = load_file(model.path), dict(model.config(component))
    match component:
        case "unet":
            return dict(peer.convert_ldm_unet_checkpoint(stored, config))
        case "controlnet":
            return dict(peer.convert_controlnet_checkpoint(stored, config))
        case "vae_decoder" | "vae_encoder":
            return dict(peer.convert_ldm_vae_checkpoint(stored, config))
    encoder = cast("SingleFileModel", model).encoder(component)
    if encoder.writer == "clip":
        return dict(peer.convert_ldm_clip_checkpoint({name: x for name, x in stored.items() if name.startswith(encoder.prefix)}))
    return dict(peer.convert_open_clip_checkpoint(None, stored, prefix=encoder.prefix))
