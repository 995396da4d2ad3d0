"""Make the package of a recipe: a U-Net's package with each layer palettized to its own number of bits."""

from collections.abc import Mapping
from pathlib import Path

from converter.compression.applying import Progress
from converter.compression.compressing import check_uncompressed, compress
from converter.compression.layer_weights import match_layers
from converter.compression.pre_analysis import PreAnalysis
from converter.compression.recipes import Recipe, RecipeEntry
from converter.compression.sizes import total_bytes
from converter.compression.weights import Weight, weight_file
from converter.metadata import record_compression
from converter.source import model_name
from converter.storing import check_opens, store
from converter.tools import quiet, toolkit
from converter.unet_packages import unet_role
from converter.workplace import move_into_place, output_folder, workplace
from sdrt.arrays import Array
from sdrt.backends.coreml import describe
from sdrt.errors import ConfigError
from sdrt.log import log
from sdrt.models import HubAccess, Needs, open_model
from sdrt.models.components import COMPONENTS
from sdrt.printable import shown

__all__ = ["apply_recipe"]

_log = log.getChild("converter")


def apply_recipe(
    package: Path, analysis: PreAnalysis, name: str, out: Path, *, progress: Progress | None = None, hub: HubAccess | None = None
) -> Path:
    """Write a package's palettized copy, ``X_recipe_4.50_bit_mixedpalette.mlpackage``; an earlier one of that name is replaced.

    Parameters
    ----------
    package : path of a U-Net's uncompressed .mlpackage
    analysis : PreAnalysis
    name : str
        The recipe's name.
    out : path of a folder
    progress : called as weights are finished, or None
    hub : HubAccess or None
        How the analysed model is fetched, if it is needed.

    Returns
    -------
    Path

    Raises
    ------
    MissingFileError : no such package
    ConfigError : no such recipe; the package is no U-Net, is compressed already, or lacks a layer of the recipe
    SdrtError : the model of the analysis is needed to tell layers apart, and cannot be opened
    ConversionError : the folder cannot be written to
    """
    unet_role(package)
    bits = analysis.recipe(name)
    # before anything is matched: a compressed package has too few weights, and the message would be another
    check_uncompressed(package)
    layers = match_layers(package, bits, lambda: _weights_of(analysis.model, hub or HubAccess()))
    _check_sizes(package, layers, analysis)
    _remark_on_others(package, analysis)
    recipe = Recipe(
        entries=tuple(RecipeEntry(name=layers[layer].name, digest=layers[layer].digest, bits=count) for layer, count in bits.items()),
        weight_bytes=total_bytes(weight_file(package).stat().st_size, {layers[layer]: count for layer, count in bits.items()}),
        psnr=analysis.recipe_psnr.get(name),
    )
    place = out / f"{package.stem}_{name}.mlpackage"
    with output_folder(out), workplace(out) as work:
        with quiet():
            whole = toolkit().models.MLModel(str(package), skip_model_load=True)
        smaller = compress(whole, recipe, progress=progress)
        record_compression(smaller, name, {"kind": "Recipe", "name": name})
        store(smaller, work / place.name)
        check_opens(work / place.name)
        move_into_place(work / place.name, place)
    return place


def _weights_of(model: str, hub: HubAccess) -> Mapping[str, Array]:
    """Return the weights of the layers of a model's U-Net, by their paths."""
    from torch import nn

    from sdrt.backends.torch.construction import open_module
    from sdrt.models.recorded import RecordedModel

    opened = open_model(model, hub=hub, needs=Needs(packages=False, without=frozenset(COMPONENTS) - {"unet"}))
    adapter = open_module("unet", RecordedModel(opened).as_model(), mapped=True)
    kinds = (nn.Linear, nn.Conv2d)
    paths = {path.removeprefix("module."): layer for path, layer in adapter.named_modules() if isinstance(layer, kinds)}
    return {path: layer.weight.detach().numpy() for path, layer in paths.items()}


def _check_sizes(package: Path, layers: Mapping[str, Weight], analysis: PreAnalysis) -> None:
    """Refuse a package of another architecture, whose layers have the same names."""
    for layer, weight in layers.items():
        if (count := analysis.elements.get(layer, weight.count)) != weight.count:
            raise ConfigError(
                f"{package.name}: layers must have the sizes of the model that was analysed, {shown(analysis.model)}, got {weight.count:,} "
                f"weights instead of {count:,} in {layer}; pass the analysis of this model"
            )


def _remark_on_others(package: Path, analysis: PreAnalysis) -> None:
    summary = describe(package)
    own = summary.user_defined.get("sdrt.source") or summary.metadata.get("version", "")
    if own and own != model_name(analysis.model):
        _log.warning("%s: is of %s, and the recipe was measured on %s; its PSNR holds for that one", package.name, own, analysis.model)
