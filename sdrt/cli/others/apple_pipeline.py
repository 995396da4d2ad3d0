"""``sdrt apple pipeline``: the command line of Apple's ``python_coreml_stable_diffusion.pipeline``.

That program runs diffusers' schedulers and transformers' tokenizer over Core ML packages, and draws its noise from ``np.random``. Source:
apple/ml-stable-diffusion at e12202c, ``pipeline.py``.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrt.cli.generate import GenerateCommand
from sdrt.cli.generate import run as draw
from sdrt.cli.others.apple_model import choose_model, open_folder, pair_pictures
from sdrt.cli.others.arguments import a_seed, compute_unit, one_of
from sdrt.cli.others.named_pictures import NamedPictures, fitting_name
from sdrt.cli.others.package_form import folder_of_form
from sdrt.cli.paths import a_path
from sdrt.cli.prompts import prompt_text
from sdrt.log import log

if TYPE_CHECKING:
    from sdrt.models import StoredModel

__all__ = ["add_command", "parse"]

# Apple's names of the schedulers, each of which is a diffusers class.
_SCHEDULERS = ("DDIM", "DPMSolverMultistep", "EulerAncestralDiscrete", "EulerDiscrete", "LMSDiscrete", "PNDM")

_DEFAULT_MODEL = "CompVis/stable-diffusion-v1-4"


def add_command(modules: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``pipeline`` to ``sdrt apple``."""
    command = modules.add_parser(
        "pipeline",
        help="draw a picture with Core ML packages, on any system",
        description="Draw a picture as 'python -m python_coreml_stable_diffusion.pipeline' does: the same arguments, the same noise, and "
        "the same names of files.",
        epilog='example: sdrt apple pipeline --prompt "a photo of an astronaut riding a horse on mars" -i packages -o pictures --seed 93',
    )
    command.add_argument("--prompt", required=True, type=prompt_text, metavar="TEXT", help="what to draw")
    command.add_argument(
        "-i",
        dest="packages",
        required=True,
        type=a_path,
        metavar="DIR",
        help="a folder of .mlpackage or .mlmodelc, or of a model in diffusers' layout",
    )
    command.add_argument(
        "-o", dest="folder", required=True, type=a_path, metavar="DIR", help="where pictures go, each in a folder of its prompt's name"
    )
    command.add_argument("--seed", "-s", type=a_seed, default=93, metavar="N", help="seed of the noise, as of np.random.seed (default: 93)")
    command.add_argument(
        "--model-version",
        default=_DEFAULT_MODEL,
        metavar="MODEL",
        help="a part of the picture's name; if it is a folder in diffusers' layout, the source of the tokenizer and of the scheduler for "
        f"packages that bring none (default: {_DEFAULT_MODEL})",
    )
    command.add_argument(
        "--compute-unit",
        type=compute_unit,
        default="ALL",
        metavar="{ALL,CPU_ONLY,CPU_AND_GPU,CPU_AND_NE}",
        help="what Core ML may use on a Mac (default: ALL)",
    )
    command.add_argument(
        "--scheduler",
        type=one_of(dict.fromkeys(_SCHEDULERS, ())),
        metavar=f"{{{','.join(_SCHEDULERS)}}}",
        help="a scheduler in place of the model's own",
    )
    command.add_argument("--num-inference-steps", type=int, default=50, metavar="N", help="denoising steps (default: 50)")
    command.add_argument("--guidance-scale", type=float, default=7.5, metavar="X", help="strength of the prompt (default: 7.5)")
    command.add_argument("--negative-prompt", type=prompt_text, metavar="TEXT", help="what to steer away from")
    command.add_argument("--controlnet", nargs="*", default=[], metavar="NAME", help="ControlNets among the packages")
    command.add_argument(
        "--controlnet-inputs", nargs="*", default=[], type=a_path, metavar="FILE", help="a picture for each ControlNet, in their order"
    )
    command.add_argument("--unet-batch-one", action="store_true", help="run the U-Net on one row at a time")
    command.add_argument(
        "--model-sources",
        type=one_of({"packages": (), "compiled": ()}),
        metavar="{packages,compiled}",
        help="which to take where both .mlpackage and .mlmodelc are there (default: packages)",
    )
    command.add_argument(
        "--force-zeros-for-empty-prompt",
        action="store_true",
        help="SDXL: zeros in place of an empty negative prompt, as the model's own files say in any case",
    )
    command.add_argument("-q", "--quiet", action="store_true", help="print no progress bar, no file names and no remarks")
    command.set_defaults(run=lambda arguments: draw(parse(arguments)), lost="the picture is drawn, but its name was not read")


def parse(arguments: argparse.Namespace) -> GenerateCommand:
    """Return what ``sdrt generate`` calls the same.

    Raises
    ------
    ConfigError : no model in the folder, or not a picture for each ControlNet
    MissingFileError : no packages of the form that is asked for
    """
    controlnets, packages = tuple(arguments.controlnet), folder_of_form(arguments.packages, arguments.model_sources)
    pictures = pair_pictures(controlnets, tuple(arguments.controlnet_inputs))
    model = open_folder(packages, "-i")
    if arguments.force_zeros_for_empty_prompt and not model.flags.force_zeros_for_empty_prompt:
        log.warning("--force-zeros-for-empty-prompt has no effect: this model encodes an empty negative prompt, as its files say")
    options: dict[str, Any] = {
        "seed": arguments.seed,
        "rng": "numpy",
        "num_inference_steps": arguments.num_inference_steps,
        "guidance_scale": arguments.guidance_scale,
        "guidance_batching": "sequential" if arguments.unet_batch_one else "batched",
        "compat": "diffusers",
    }
    if arguments.scheduler is not None:
        options["scheduler"] = arguments.scheduler
    return GenerateCommand(
        prompts=(arguments.prompt,),
        negative_prompt=arguments.negative_prompt,
        output=_destination(arguments),
        choice=choose_model(
            packages,
            model,
            compute_unit=arguments.compute_unit,
            controlnets=controlnets,
            safety_checker=True,
            refiner=False,
            **_from_source(model, Path(arguments.model_version)),
        ),
        pictures=pictures,
        quiet=arguments.quiet,
        options=options,
    )


def _from_source(model: "StoredModel", source: Path) -> dict[str, Path]:
    """Return where a folder of packages that lacks a tokenizer or a scheduler has it from: the source model, if it is on disk."""
    from sdrt.models import is_folder_of_packages

    # what is too long for a path is a part of the picture's name all the same
    if not (is_folder_of_packages(model) and os.path.isdir(source)):  # noqa: PTH112 -- Path raises for some names
        return {}
    lacking = {"tokenizer": "assumed tokenizer", "config": "assumed scheduler"}
    return {option: source for option, topic in lacking.items() if topic in model.remarks}


def _destination(arguments: argparse.Namespace) -> NamedPictures:
    """Return the place of the picture under Apple's name.

    Source: ``get_image_path``.
    """
    folder = fitting_name(arguments.prompt.replace("/", "_").replace(" ", "_"))
    version = arguments.model_version.replace("/", "_")
    name = f"randomSeed_{arguments.seed}_computeUnit_{arguments.compute_unit}_modelVersion_{version}"
    if arguments.scheduler is not None:
        name += f"_customScheduler_{arguments.scheduler}_numInferenceSteps{arguments.num_inference_steps}"
    return NamedPictures(arguments.folder / folder, (fitting_name(name, ".png"),))
