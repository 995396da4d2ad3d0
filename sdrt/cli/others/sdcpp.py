"""``sdrt sdcpp``: the command line of stable-diffusion.cpp's ``sd-cli`` (``sd`` in its older releases).

Source of flags, defaults and rules: leejet/stable-diffusion.cpp in May 2026, ``examples/cli/main.cpp``, ``examples/common/common.cpp``.
docs/stable-diffusion-cpp.md says what is equal to its pictures, and what is not.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdrt.cli.generate import GenerateCommand
from sdrt.cli.generate import run as draw
from sdrt.cli.opening import ModelChoice
from sdrt.cli.others import sdcpp_samplers
from sdrt.cli.others.sdcpp_flags import add_others, refuse, tell_idle
from sdrt.cli.others.sdcpp_model import clip_skip, model_if_needed
from sdrt.cli.others.sdcpp_pictures import numbered_pictures
from sdrt.cli.paths import a_path
from sdrt.cli.prompts import prompt_text
from sdrt.errors import ConfigError
from sdrt.limits import DEFAULT_LIMITS
from sdrt.log import log
from sdrt.printable import shown

__all__ = ["add_command", "parse"]

_ABOUT = (
    "Draw pictures as stable-diffusion.cpp's 'sd-cli' does: the same arguments, the same noise, and the same names of files. Its other "
    "flags are accepted where they mean nothing here, and refused where they need what sdrt does not have; "
    "docs/stable-diffusion-cpp.md lists them."
)
_MODES = ("img_gen", "txt2img", "img2img")
_OTHER_MODES = {
    "vid_gen": "sdrt draws no videos; leave -M out to draw a picture",
    "convert": "sdrt writes no GGUF; 'sdrt convert' makes Core ML packages",
    "upscale": "'sdrt upscale FILE --upscaler MODEL' makes pictures larger",
    "metadata": "'sdrt inspect FILE' shows what a picture holds",
}
_STREAMS = {"std_default": "libstdc++", "cuda": "nv", "cpu": "torch"}
_PREDICTIONS = {"eps": "epsilon", "v": "v_prediction"}
_SIDE = 512
# Of the sides of a picture: the autoencoders of Stable Diffusion make one latent of so many pixels.
_MULTIPLE = 8

_STRENGTH, _CONTROL_STRENGTH = 0.75, 0.9

# Flags that go with another one: without it they have no effect, or nothing to work on.
_IDLE_WITHOUT = {"strength": "init_img", "control_strength": "control_image", "canny": "control_image"}
_NEEDED = {"mask": "init_img", "control_image": "control_net", "control_net": "control_image"}
_SPELLED = {"init_img": "-i"}

_PROGRAMS = frozenset({"sd", "sd.exe", "sd-cli", "sd-cli.exe"})

_FLAGS: tuple[tuple[tuple[str, ...], dict[str, Any], str], ...] = (
    (("-m", "--model"), {"metavar": "PATH"}, "a checkpoint, a folder in diffusers' layout, or a name (default: nano)"),
    (("-p", "--prompt"), {"type": prompt_text, "default": "", "metavar": "TEXT"}, "what to draw"),
    (("-n", "--negative-prompt"), {"type": prompt_text, "default": "", "metavar": "TEXT"}, "what to steer away from"),
    (
        ("-o", "--output"),
        {"type": a_path, "default": Path("output.png"), "metavar": "FILE"},
        "the picture; of several the others are output_2.png, output_3.png, ...; %%d or %%03d in it is the number (default: ./output.png)",
    ),
    (("--output-begin-idx",), {"type": int, "metavar": "N"}, "number all names of several pictures, from here on"),
    (("-W", "--width"), {"type": int, "metavar": "N"}, "pixels (default: 512, or those of -i)"),
    (("-H", "--height"), {"type": int, "metavar": "N"}, "pixels (default: 512, or those of -i)"),
    (("-s", "--seed"), {"type": int, "default": 42, "metavar": "N"}, "image k has seed + k; below 0 a random one (default: 42)"),
    (("-b", "--batch-count"), {"type": int, "default": 1, "metavar": "N"}, "images (default: 1)"),
    (("--steps",), {"type": int, "default": 20, "metavar": "N"}, "denoising steps (default: 20)"),
    (("--cfg-scale",), {"type": float, "default": 7.0, "metavar": "X"}, "strength of the prompt; 1 turns guidance off (default: 7)"),
    (("--eta",), {"type": float, "metavar": "X"}, "amount of fresh noise a step (default: the sampling method's own)"),
    (
        ("--sampling-method",),
        {"default": "euler_a", "metavar": f"{{{','.join(sdcpp_samplers.METHODS)}}}"},
        "the sampler (default: euler_a)",
    ),
    (
        ("--scheduler", "--schedule"),
        {"metavar": f"{{{','.join(sdcpp_samplers.SCHEDULES)}}}"},
        "how noise levels are spread (default: discrete, or the sampling method's own)",
    ),
    (("--rng",), {"choices": tuple(_STREAMS), "default": "cuda"}, "the noise stream (default: cuda)"),
    (("--sampler-rng",), {"choices": tuple(_STREAMS)}, "a stream of its own for the sampling method's noise (default: that of --rng)"),
    (("-i", "--init-img"), {"type": a_path, "metavar": "FILE"}, "a picture to change"),
    (("--strength",), {"type": float, "metavar": "X"}, "how much to change it, 0 to 1 (default: 0.75)"),
    (("--mask",), {"type": a_path, "metavar": "FILE"}, "what of it to redraw: what is white"),
    (("--control-net",), {"metavar": "PATH"}, "a ControlNet"),
    (("--control-image",), {"type": a_path, "metavar": "FILE"}, "the picture that it follows"),
    (("--control-strength",), {"type": float, "metavar": "X"}, "its strength (default: 0.9)"),
    (("--canny",), {"action": "store_true"}, "give it the edges of the picture"),
    (("--clip-skip",), {"type": int, "default": -1, "metavar": "N"}, "1 takes the text encoder's last layer, 2 the one before"),
    (("--lora-model-dir",), {"type": a_path, "metavar": "DIR"}, "where LoRAs of the prompt are, <lora:name:0.8> (default: .)"),
    (("--embd-dir",), {"type": a_path, "metavar": "DIR"}, "where textual inversions are, which the prompt names"),
    (("--vae",), {"type": a_path, "metavar": "PATH"}, "an autoencoder to use instead of the model's own"),
    (("--vae-tiling",), {"action": "store_true"}, "decode large pictures tile by tile"),
    (("--prediction",), {"choices": tuple(_PREDICTIONS)}, "what the network of a checkpoint file predicts (default: what the file says)"),
    (("-t", "--threads"), {"type": int, "default": -1, "metavar": "N"}, "use at most this many threads (default: all cores)"),
    (("--disable-image-metadata",), {"action": "store_true"}, "write no settings into the pictures"),
    (("-M", "--mode"), {"default": "img_gen", "metavar": f"{{{','.join(_MODES)}}}"}, "accepted, and not needed"),
    (("-q", "--quiet"), {"action": "store_true"}, "print no progress bar, no file names and no remarks"),
)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``sdcpp`` to the command line."""
    command = commands.add_parser(
        "sdcpp",
        help="take the command line of stable-diffusion.cpp as it is typed",
        usage="sdrt sdcpp -m MODEL -p PROMPT [options]",
        description=_ABOUT,
        epilog='example: ./bin/sd-cli -m sd15.safetensors -p "a lovely cat" becomes sdrt sdcpp -m sd15.safetensors -p "a lovely cat"',
        allow_abbrev=False,
    )
    command.add_argument("program", nargs="?", type=prompt_text, help=argparse.SUPPRESS)
    for flags, how, text in _FLAGS:
        command.add_argument(*flags, help=text, **how)
    add_others(command)
    command.set_defaults(
        run=lambda arguments: draw(parse(arguments)),
        kept="pictures that were finished are kept",
        lost="all pictures are drawn, but not all their names were read",
    )


def parse(arguments: argparse.Namespace) -> GenerateCommand:
    """Return what ``sdrt generate`` calls the same.

    Raises
    ------
    ConfigError : a flag or a value that asks for what is not here, or a value that the program refuses too
    SdrtError : a model that cannot be opened, where a flag's meaning depends on it
    """
    refuse(arguments)
    _check(arguments)
    _check_folders(arguments)
    _check_pairs(arguments)
    tell_idle(arguments)
    files = {"image": arguments.init_img, "mask_image": arguments.mask, "control_image": arguments.control_image}
    return GenerateCommand(
        prompts=(arguments.prompt,),
        negative_prompt=arguments.negative_prompt,
        output=numbered_pictures(
            arguments.output, arguments.batch_count, arguments.output_begin_idx, with_settings=not arguments.disable_image_metadata
        ),
        choice=_choice(arguments),
        pictures={name: (file,) for name, file in files.items() if file is not None},
        quiet=arguments.quiet,
        options=_options(arguments),
    )


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what the program refuses, and modes that are not here."""
    mode, program = arguments.mode, arguments.program
    # the whole command line may have been pasted
    if program is not None and Path(program).name not in _PROGRAMS:
        raise ConfigError(f"the prompt must come after -p, got {shown(program)} after no flag; write -p before it")
    if mode in _OTHER_MODES:
        raise ConfigError(f"-M must be one of {', '.join(_MODES)}, got {mode}: {_OTHER_MODES[mode]}")
    if mode not in _MODES:
        raise ConfigError(f"-M must be one of {', '.join(_MODES)}, got {shown(mode)}; leave it out")
    if (mode == "img2img") != (arguments.init_img is not None) and mode != "img_gen":
        raise ConfigError(f"-M {mode} must come {'with' if mode == 'img2img' else 'without'} -i; leave -M out")
    if arguments.batch_count < 1:
        raise ConfigError(f"-b must be at least 1, got {arguments.batch_count}; leave it out for one picture")
    # each has a name before the first is drawn
    DEFAULT_LIMITS.check("images", "-b", arguments.batch_count)
    if arguments.strength is not None and not 0 <= arguments.strength <= 1:
        raise ConfigError(f"--strength must be from 0 to 1, got {arguments.strength:g}; choose one in that range")
    if arguments.cfg_scale < 1 and "cfg_pp" not in arguments.sampling_method:
        raise ConfigError(f"--cfg-scale must be at least 1, which turns guidance off, got {arguments.cfg_scale:g}; choose a larger one")


def _check_folders(arguments: argparse.Namespace) -> None:
    for folder, flag, what in (
        (arguments.embd_dir, "--embd-dir", "textual inversions"),
        (arguments.lora_model_dir, "--lora-model-dir", "LoRAs"),
    ):
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"{flag} must be a folder, got {folder}; pass that with the {what}")


def _check_pairs(arguments: argparse.Namespace) -> None:
    """Refuse flags whose other half is missing, and say which have no effect without it."""
    for name, other in _NEEDED.items():
        if getattr(arguments, name) is not None and getattr(arguments, other) is None:
            raise ConfigError(f"{_flag(name)} must come with {_flag(other)}, got it without; add {_flag(other)}")
    for name, other in _IDLE_WITHOUT.items():
        if getattr(arguments, name) and getattr(arguments, other) is None:
            log.warning("%s has no effect without %s", _flag(name), _flag(other))
    if arguments.output_begin_idx is not None and arguments.batch_count == 1 and "%" not in arguments.output.name:
        log.warning("--output-begin-idx has no effect on the name of one picture")


def _flag(name: str) -> str:
    return _SPELLED.get(name, f"--{name.replace('_', '-')}")


def _choice(arguments: argparse.Namespace) -> ModelChoice:
    lora_dir = arguments.lora_model_dir or (Path() if "<lora:" in arguments.prompt else None)
    options = {
        "vae": arguments.vae,
        "lora_dir": lora_dir,
        "vae_tiling": True if arguments.vae_tiling else None,
        "prediction_type": _PREDICTIONS.get(arguments.prediction),
        "threads": arguments.threads if arguments.threads > 0 else None,
    }
    texts = f"{arguments.prompt}\n{arguments.negative_prompt}"
    return ModelChoice(
        model=arguments.model,
        embeddings=() if arguments.embd_dir is None else _embeddings(arguments.embd_dir, texts),
        controlnets=() if arguments.control_net is None else (arguments.control_net,),
        options={name: value for name, value in options.items() if value is not None},
    )


def _embeddings(folder: Path, texts: str) -> tuple[tuple[str | None, str], ...]:
    """Return the textual inversions of a folder that the prompts name, by the names of their files."""
    files = sorted(file for file in folder.iterdir() if file.suffix in (".pt", ".safetensors"))
    # of two with one name the safetensors file, which is the last, counts
    named: dict[str | None, str] = {file.stem: str(file) for file in files if file.stem.casefold() in texts.casefold()}
    return tuple(named.items())


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of ``Pipeline.generate``."""
    model = model_if_needed(arguments)
    scheduler = sdcpp_samplers.scheduler_name(
        arguments.sampling_method, arguments.scheduler, is_xl=model is not None and "text_encoder_2" in model.components
    )
    options: dict[str, Any] = {
        "seed": max(arguments.seed, -1),
        "num_images": arguments.batch_count,
        "num_inference_steps": arguments.steps,
        "guidance_scale": arguments.cfg_scale,
        "scheduler": scheduler,
        "eta": sdcpp_samplers.eta(arguments.sampling_method, arguments.eta),
        "rng": _STREAMS[arguments.rng],
        "sampler_rng": None if arguments.sampler_rng in (None, arguments.rng) else _STREAMS[arguments.sampler_rng],
        "clip_skip": None if model is None else clip_skip(arguments.clip_skip, model),
    }
    options |= _size(arguments)
    if arguments.init_img is not None:
        share = _STRENGTH if arguments.strength is None else arguments.strength
        options |= {"strength": sdcpp_samplers.strength(share, arguments.steps), "resize": "crop"}
    if arguments.mask is not None:
        # what is kept is what was encoded and decoded again
        options["paste"] = False
    if arguments.control_image is not None:
        options["controlnet_conditioning_scale"] = _CONTROL_STRENGTH if arguments.control_strength is None else arguments.control_strength
        options["control_preprocessor"] = "canny" if arguments.canny else None
    return {name: value for name, value in options.items() if value is not None}


def _size(arguments: argparse.Namespace) -> Mapping[str, int]:
    """Return the size of the picture: a picture to change has its own, unless both sides are given."""
    width, height = arguments.width, arguments.height
    if arguments.init_img is None or (width and height):
        sides = {"width": width or _SIDE, "height": height or _SIDE}
        aligned = {name: -(-side // _MULTIPLE) * _MULTIPLE for name, side in sides.items()}
        if aligned != sides:
            log.warning("the picture is %d x %d pixels, since both sides are multiples of %d", *aligned.values(), _MULTIPLE)
        return aligned
    if width or height:
        log.warning("the picture has the size of -i, since %s is not given too", "-H" if width else "-W")
    return {}
