"""``sdrt swift``: the command line of ``StableDiffusionSample``, the program of Apple's Swift package.

Source: apple/ml-stable-diffusion at e12202c, ``StableDiffusionCLI/main.swift``.
"""

import argparse
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrt.cli.generate import GenerateCommand
from sdrt.cli.generate import run as draw
from sdrt.cli.others.apple_model import choose_model, open_folder, pair_pictures, picture_size
from sdrt.cli.others.arguments import a_seed, compute_units, one_of
from sdrt.cli.others.swift_pictures import PictureNames, Previews
from sdrt.cli.others.swift_schedulers import SCHEDULERS, scheduler_options
from sdrt.cli.paths import a_path
from sdrt.cli.prompts import prompt_text
from sdrt.errors import ConfigError
from sdrt.limits import DEFAULT_LIMITS
from sdrt.log import log
from sdrt.printable import shown

if TYPE_CHECKING:
    from sdrt.models import StoredModel

__all__ = ["add_command", "parse"]

_PROGRAM = "StableDiffusionSample"

_STRENGTH = 0.5

_STREAMS = {"numpy": (), "torch": (), "nvidia": ("cuda", "nv")}

# What the program tells SDXL of every picture.
_XL_SIZES = {"original_size": (1024, 1024), "target_size": (1024, 1024)}

# Flags that ask for what is not here: what they need, and what to do in their place.
_REFUSED = {
    "sd3": "needs the MMDiT of Stable Diffusion 3, which sdrt does not have; draw with a package of Stable Diffusion 1, 2 or XL",
    "use_multilingual_text_encoder": "needs Apple's own NLContextualEmbedding, which only its systems have; write the prompt in English, "
    "or pass a model whose text encoder was trained on other languages",
    "script": "is for --use-multilingual-text-encoder, which needs Apple's own NLContextualEmbedding; leave it out",
}


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``swift`` to the command line."""
    command = commands.add_parser(
        "swift",
        help="take the command line of Apple's Swift package as it is typed",
        usage="sdrt swift PROMPT [options]",
        description=f"Draw pictures as 'swift run {_PROGRAM}' does: the same arguments, the same noise, and the same names of files.",
        epilog='example: sdrt swift "a photo of an astronaut riding a horse on mars" --resource-path packages/Resources --seed 93',
    )
    command.add_argument("words", nargs="+", type=prompt_text, metavar="PROMPT", help="what to draw")
    command.add_argument("--negative-prompt", type=prompt_text, default="", metavar="TEXT", help="what to steer away from")
    command.add_argument(
        "--resource-path",
        type=a_path,
        default=Path(),
        metavar="DIR",
        help="a folder of .mlpackage or .mlmodelc, or of a model in diffusers' layout (default: ./)",
    )
    command.add_argument("--output-path", type=a_path, default=Path(), metavar="DIR", help="where pictures go (default: ./)")
    command.add_argument("--seed", type=a_seed, metavar="N", help="seed of the noise (default: a random one)")
    command.add_argument("--image-count", type=int, default=1, metavar="N", help="images, drawn from one noise stream (default: 1)")
    command.add_argument("--step-count", type=int, default=50, metavar="N", help="denoising steps (default: 50)")
    command.add_argument(
        "--save-every", type=int, default=0, metavar="N", help="save a preview every N steps, beginning with the first (default: 0, none)"
    )
    command.add_argument("--guidance-scale", type=float, default=7.5, metavar="X", help="strength of the prompt (default: 7.5)")
    _add_choices(command)
    command.add_argument(
        "--image", type=a_path, metavar="FILE", help="a picture to start from; one of another size than the model's is resized"
    )
    command.add_argument("--strength", type=float, metavar="X", help=f"how much to change it; at 1 it is ignored (default: {_STRENGTH})")
    command.add_argument(
        "--controlnet", nargs="+", default=[], metavar="NAME", help="ControlNets in the folder controlnet/ of the resources"
    )
    command.add_argument(
        "--controlnet-inputs", nargs="+", default=[], type=a_path, metavar="FILE", help="a picture for each ControlNet, in their order"
    )
    command.add_argument(
        "--disable-safety",
        action="store_true",
        help="leave out the folder's safety checker",
    )
    command.add_argument(
        "--reduce-memory", action="store_true", help="hold one network in memory at a time, in its backend's low-memory mode"
    )
    command.add_argument("--xl", action="store_true", help="accepted, and not needed: SDXL is recognised by its files")
    for name in _REFUSED:
        takes: dict[str, Any] = {} if name == "script" else {"action": "store_true"}
        command.add_argument(f"--{name.replace('_', '-')}", default=None, help=argparse.SUPPRESS, **takes)
    command.add_argument("-q", "--quiet", action="store_true", help="print no progress bar, no file names and no remarks")
    command.set_defaults(
        run=lambda arguments: draw(parse(arguments)),
        kept="pictures that were finished are kept",
        lost="all pictures are drawn, but not all their names were read",
    )


def _add_choices(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--compute-units",
        type=compute_units,
        default="ALL",
        metavar="{all,cpuOnly,cpuAndGPU,cpuAndNeuralEngine}",
        help="what Core ML may use on a Mac (default: all)",
    )
    command.add_argument(
        "--scheduler",
        type=one_of(dict.fromkeys(SCHEDULERS, ())),
        default="pndm",
        metavar="{pndm,dpmpp}",
        help="PLMS, or DPM-Solver++ (default: pndm)",
    )
    command.add_argument(
        "--rng", type=one_of(_STREAMS), default="numpy", metavar="{numpy,torch,nvidia}", help="the noise stream (default: numpy)"
    )


def parse(arguments: argparse.Namespace) -> GenerateCommand:
    """Return what ``sdrt generate`` calls the same.

    Raises
    ------
    ConfigError : a flag that asks for what is not here, several prompts, no model in the folder, or not a picture for each ControlNet
    ImageError : the start image cannot be opened
    """
    prompt, controlnets = _prompt(arguments.words), tuple(arguments.controlnet)
    _check(arguments)
    pictures = pair_pictures(controlnets, tuple(arguments.controlnet_inputs))
    model = open_folder(arguments.resource_path, "--resource-path")
    is_xl = "text_encoder_2" in model.components
    if arguments.xl and not is_xl:
        raise ConfigError(f"--xl must come with packages of SDXL, got {arguments.resource_path}, which holds another model; leave it out")
    source = (
        {} if arguments.image is None else _source(arguments.image, _STRENGTH if arguments.strength is None else arguments.strength, model)
    )
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    names = PictureNames(prompt=prompt, image_count=arguments.image_count, strength=source.get("strength"), seed=seed)
    previews = Previews(every=arguments.save_every, folder=arguments.output_path, names=names, quiet=arguments.quiet)
    return GenerateCommand(
        prompts=(prompt,),
        negative_prompt=arguments.negative_prompt,
        output=names.destination(arguments.output_path),
        choice=choose_model(
            arguments.resource_path,
            model,
            compute_unit=arguments.compute_units,
            controlnets=controlnets,
            safety_checker=not arguments.disable_safety,
            refiner=is_xl,
            reduce_memory=arguments.reduce_memory,
        ),
        pictures=pictures if arguments.image is None else pictures | {"image": (arguments.image,)},
        quiet=arguments.quiet,
        options=_options(arguments, seed) | source | scheduler_options(arguments.scheduler, model) | (_XL_SIZES if is_xl else {}),
        on_step=previews if arguments.save_every else None,
    )


def _prompt(words: list[str]) -> str:
    """Return the prompt among the arguments without a flag.

    Raises
    ------
    ConfigError : they are not one text
    """
    if _PROGRAM in words:
        raise ConfigError(
            f"the prompt must come first, got {shown(' '.join(words))}; 'sdrt swift' stands for 'swift run {_PROGRAM}': leave that name out"
        )
    if len(words) > 1:
        raise ConfigError(f"the prompt must be one text, got {len(words)} ({shown(' '.join(words))}); put it between quotation marks")
    return words[0]


def _check(arguments: argparse.Namespace) -> None:
    for name, reason in _REFUSED.items():
        if getattr(arguments, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} {reason}")
    if arguments.save_every < 0:
        raise ConfigError(f"--save-every must be a number of steps, or 0 for no previews, got {arguments.save_every}; pass one of those")
    if arguments.image_count < 1:
        raise ConfigError(f"--image-count must be at least 1, got {arguments.image_count}; leave it out for one picture")
    if arguments.strength is not None and not arguments.strength > 0:
        raise ConfigError(f"--strength must be above 0, got {arguments.strength:g}; at 1 the picture is ignored")
    if arguments.strength is not None and arguments.image is None:
        log.warning("--strength has no effect without --image")
    # each has a name before the first is drawn
    DEFAULT_LIMITS.check("images", "--image-count", arguments.image_count)


def _source(file: Path, strength: float, model: "StoredModel") -> dict[str, Any]:
    """Return the options of a run that starts from a picture; a line says that it has another size than the model's.

    Raises
    ------
    ImageError : it cannot be opened
    """
    from sdrt.images import open_picture

    width, height = open_picture(file).size
    size = picture_size(model)
    if (height, width) != size:
        log.warning("%s: is %dx%d, and the model's pictures are %dx%d: it is resized", file, width, height, size[1], size[0])
    # from 1 on the program draws from noise alone
    return {"strength": min(strength, 1.0), "height": size[0], "width": size[1]}


def _options(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Return the options of the call; several images draw from one stream, one after the other."""
    from sdrt.rng import stream

    several = arguments.image_count > 1
    options: dict[str, Any] = {
        "rng": stream(arguments.rng, seed).state if several else arguments.rng,
        "num_images": arguments.image_count,
        "num_inference_steps": arguments.step_count,
        "guidance_scale": arguments.guidance_scale,
    }
    if arguments.controlnet:
        # what is transparent in a ControlNet's picture is for it to in-paint
        options["control_preprocessor"] = "inpaint"
    return options if several else options | {"seed": seed}
