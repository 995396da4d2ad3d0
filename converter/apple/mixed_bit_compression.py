"""``sdrt apple mixed_bit_compression_pre_analysis`` and ``mixed_bit_compression_apply``: measure a U-Net's layers, and palettize each."""

import argparse
from typing import TYPE_CHECKING

from sdrt.cli.console import say
from sdrt.cli.downloads import Downloads
from sdrt.cli.paths import a_path
from sdrt.log import log
from sdrt.values import Integer

if TYPE_CHECKING:
    from converter.compression.pre_analysis import PreAnalysis

__all__ = ["add_apply", "add_pre_analysis"]

_log = log.getChild("converter")

_MIN_ELEMENTS = 100_000  # Apple's threshold
_MOST_RECIPES = 1_000


def add_pre_analysis(modules: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``mixed_bit_compression_pre_analysis`` to ``sdrt apple``."""
    command = modules.add_parser(
        "mixed_bit_compression_pre_analysis",
        help="measure which layers of a U-Net bear how few bits",
        description="Measure how palettes of 1, 2, 4, 6 and 8 bits in each large layer of a U-Net change what a model draws, and make "
        "recipes of mixed bits. The JSON file that is written holds both; a run that was interrupted goes on in it.",
        epilog="example: sdrt apple mixed_bit_compression_pre_analysis --model-version nano -o recipes",
    )
    command.add_argument("-o", type=a_path, required=True, metavar="DIR", help="the folder for the JSON file")
    command.add_argument("--model-version", required=True, metavar="MODEL", help="a repository of the Hub, a folder, a checkpoint, or nano")
    command.add_argument(
        "--default-nbits", type=int, choices=(1, 2, 4, 6, 8, 16), default=16, help="bits of layers that no palette suits (default: 16)"
    )
    command.add_argument("--num-recipes", type=int, default=7, metavar="N", help="number of recipes, from nearly lossless on (default: 7)")
    _add_vae(command)
    command.add_argument("-q", "--quiet", action="store_true", help="print no progress bar and no recipes")
    command.set_defaults(run=_analyse, kept="measurements are kept: the same command goes on")


def add_apply(modules: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``mixed_bit_compression_apply`` to ``sdrt apple``."""
    command = modules.add_parser(
        "mixed_bit_compression_apply",
        help="palettize a U-Net's package by a recipe of mixed bits",
        description="Palettize the package of a U-Net by a recipe that mixed_bit_compression_pre_analysis made, Apple's or this one.",
        epilog="example: sdrt apple mixed_bit_compression_apply --mlpackage-path packages/X_unet.mlpackage -o packages "
        "--pre-analysis-json-path recipes/nano_palettization_recipe.json --selected-recipe recipe_4.46_bit_mixedpalette",
    )
    command.add_argument("-o", type=a_path, required=True, metavar="DIR", help="the folder for the palettized package")
    command.add_argument("--mlpackage-path", type=a_path, required=True, metavar="PACKAGE", help="a U-Net's package, not compressed")
    command.add_argument("--pre-analysis-json-path", type=a_path, required=True, metavar="FILE", help="the JSON file of the analysis")
    command.add_argument(
        "--selected-recipe", required=True, metavar="KEY", help="a recipe of that file, such as recipe_4.50_bit_mixedpalette"
    )
    _add_vae(command)
    command.add_argument("-q", "--quiet", action="store_true", help="print no progress bar and no file name")
    command.set_defaults(run=_apply, kept="nothing was written")


def _add_vae(command: argparse.ArgumentParser) -> None:
    command.add_argument("--custom-vae-version", metavar="VAE", help="accepted, and not opened: an autoencoder has no part in this")


def _analyse(arguments: argparse.Namespace) -> None:
    # the measurement, which takes hours, comes before the recipes
    Integer(1, _MOST_RECIPES).check("--num-recipes", arguments.num_recipes, "leave it out for 7")
    from converter.tools import require_packages

    require_packages("torch", "diffusers", "transformers")
    from converter.compression.analysing import analyse
    from converter.compression.drawing import DrawnLatents, prompts_for
    from converter.compression.pre_analysis import file_name
    from converter.compression.recipe_plot import plot_recipes
    from converter.progress_bar import ProgressBar
    from converter.workplace import output_folder
    from sdrt.files import user_path
    from sdrt.models import embedded
    from sdrt.models.hub import means_repository

    _remark_on_vae(arguments)
    model = arguments.model_version
    # a name stays a name, and a folder or file is found again from anywhere
    stated = model if model in embedded() or means_repository(model) else str(user_path("model", model).resolve())
    file = arguments.o / file_name(model)
    with (
        output_folder(arguments.o),
        Downloads(quiet=arguments.quiet) as downloads,
        ProgressBar(shown=not arguments.quiet) as bar,
        DrawnLatents(model, prompts_for(model), min_elements=_MIN_ELEMENTS, on_download=downloads) as drawing,
    ):
        analysis = analyse(
            drawing, stated, file, num_recipes=arguments.num_recipes, default_bits=arguments.default_nbits, progress=bar.show
        )
        plot = plot_recipes(analysis, file)
    if not arguments.quiet:
        say(str(file), *_recipe_lines(analysis), *([str(plot)] if plot is not None else ["no plot: matplotlib is not installed"]))


def _apply(arguments: argparse.Namespace) -> None:
    from converter.tools import require_packages, silence_resource_tracker

    require_packages("coremltools")
    silence_resource_tracker()
    from converter.compression.pre_analysis import PreAnalysis
    from converter.progress_bar import ProgressBar
    from converter.recipe_packages import apply_recipe
    from sdrt.models import HubAccess

    _remark_on_vae(arguments)
    analysis = PreAnalysis.read(arguments.pre_analysis_json_path)
    with Downloads(quiet=arguments.quiet) as downloads, ProgressBar(shown=not arguments.quiet) as bar:
        hub = HubAccess(on_download=downloads)
        package = apply_recipe(arguments.mlpackage_path, analysis, arguments.selected_recipe, arguments.o, progress=bar.show, hub=hub)
    if not arguments.quiet:
        say(str(package))


def _remark_on_vae(arguments: argparse.Namespace) -> None:
    if arguments.custom_vae_version is not None:
        _log.warning("--custom-vae-version: not opened; the recipes of a U-Net do not depend on the autoencoder")


def _recipe_lines(analysis: "PreAnalysis") -> list[str]:
    return [f"  {name}: {psnr:.1f} dB" for name, psnr in sorted(analysis.recipe_psnr.items(), key=lambda item: -item[1])]
