"""``sdrt generate``: pictures of one prompt, or of a file of prompts."""

import argparse
import logging
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from sdrt.cli.opening import ModelChoice, add_arguments, open_pipeline, parse_choice
from sdrt.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from tqdm import tqdm

    from sdrt.pipeline.pipeline import Step

__all__ = ["GenerateCommand", "add_command", "picture_name"]

log = logging.getLogger("sdrt")

# The options that go to Pipeline.generate as they are: flags, type, help.
_OPTIONS: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "seed": (("--seed",), int, "image k is drawn from seed + k (default: drawn, and told)"),
    "num_images": (("-n", "--num-images"), int, "pictures of each prompt (default 1)"),
    "num_inference_steps": (("--steps", "--num-inference-steps"), int, "steps (default: the model's own, else 50)"),
    "guidance_scale": (
        ("--guidance-scale", "--cfg-scale"),
        float,
        "how strongly the prompt leads; 1 or less is off (default: the model's own)",
    ),
    "guidance_rescale": (("--guidance-rescale",), float, "0 to 1: draw the guided deviation back (default 0)"),
    "height": (("-H", "--height"), int, "pixels (default: the model's own)"),
    "width": (("-W", "--width"), int, "pixels (default: the model's own)"),
    "scheduler": (("--scheduler",), str, "a name from 'sdrt schedulers' (default: the model's own)"),
    "eta": (("--eta",), float, "share of fresh noise of ddim and tcd (default: the scheduler's own)"),
    "rng": (("--rng",), str, "noise stream: torch, torch-scalar, nv, numpy or generator (default torch)"),
    "sampler_rng": (("--sampler-rng",), str, "noise stream of the scheduler (default: the picture's own goes on)"),
    "sampler_seed": (("--sampler-seed",), int, "seed of the scheduler's stream (default: the picture's)"),
    "guidance_batching": (
        ("--guidance-batching",),
        str,
        "sequential sends rows through the U-Net one by one, in less memory (default batched)",
    ),
    "controlnet_conditioning_scale": (("--controlnet-scale",), float, "how strongly ControlNets lead (default 1)"),
    "refiner_start": (("--refiner-start",), float, "share of the noise levels after which the refiner takes over (default 0.8)"),
    "compat": (("--compat",), str, "diffusers or apple: reproduce its defects (default: do what is right)"),
    "prompt_syntax": (("--prompt-syntax",), str, "weighted: (word:1.3), [word], BREAK; plain: all is text (default weighted)"),
    "long_prompts": (("--long-prompts",), str, "chunk, or truncate to 75 tokens (default chunk)"),
    "emphasis": (("--emphasis",), str, "how weights are applied: original or no_norm (default original)"),
    "clip_skip": (("--clip-skip",), int, "last layers of the text encoder to leave out (default 0; AUTOMATIC1111's number less 1)"),
}

# The options that are files of pictures: flag, how many, help.
_PICTURES: dict[str, tuple[str, str]] = {
    "image": ("--image", "for a model that in-paints: the picture"),
    "mask_image": ("--mask-image", "for a model that in-paints: white is drawn anew"),
    "control_image": ("--control-image", "what a ControlNet follows; as many as there are --controlnet"),
}


@dataclass(frozen=True, kw_only=True)
class GenerateCommand:
    """One ``sdrt generate``, parsed.

    Parameters
    ----------
    prompts : tuple of str
    negative_prompt : str
    output : Path
        A folder, or the file of the one picture.
    choice : ModelChoice
    pictures : dict
        Files of pictures that go to ``Pipeline.generate`` once they are opened.
    progress : bool
    options : dict
        What goes to ``Pipeline.generate``.
    """

    prompts: tuple[str, ...]
    negative_prompt: str
    output: Path
    choice: ModelChoice
    pictures: dict[str, tuple[Path, ...]]
    progress: bool
    options: dict[str, Any]


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``generate`` to the command line."""
    command = commands.add_parser(
        "generate",
        help="draw pictures of a prompt",
        description="Draw pictures of a prompt, and write them as PNG with their settings inside.",
        epilog='example: sdrt generate "a red circle on a blue background" --seed 93 -o pictures/',
    )
    command.add_argument("prompt", nargs="?", help="what to draw")
    command.add_argument("--prompts", type=Path, metavar="FILE", help="a text file with a prompt on each line")
    command.add_argument("--negative-prompt", default="", metavar="TEXT", help="what to lead away from")
    command.add_argument(
        "-o", "--output", type=Path, default=Path(), metavar="PATH", help="folder, or file ending in .png (default: the current folder)"
    )
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no file names")
    for name, (flags, kind, text) in _OPTIONS.items():
        command.add_argument(*flags, dest=name, type=kind, metavar={int: "N", float: "X", str: "NAME"}[kind], help=text)
    command.add_argument("--cfg", help=argparse.SUPPRESS)
    _add_pictures(command)
    add_arguments(command)
    command.set_defaults(run=lambda arguments: run(parse(arguments)))


def parse(arguments: argparse.Namespace) -> GenerateCommand:
    """The command that the arguments mean.

    Raises
    ------
    ConfigError : no prompt, two of them, or an empty or unreadable file of prompts
    """
    if (arguments.prompt is None) == (arguments.prompts is None):
        raise ConfigError(
            "pass one prompt, or a file of prompts with --prompts; got " + ("neither" if arguments.prompt is None else "both")
        )
    _renew(arguments)
    return GenerateCommand(
        prompts=(arguments.prompt,) if arguments.prompts is None else _read_prompts(arguments.prompts),
        negative_prompt=arguments.negative_prompt,
        output=arguments.output,
        choice=parse_choice(arguments),
        pictures={name: tuple(getattr(arguments, name)) for name in _PICTURES if getattr(arguments, name)},
        progress=not arguments.quiet,
        options={name: getattr(arguments, name) for name in _OPTIONS if getattr(arguments, name) is not None},
    )


def run(command: GenerateCommand) -> None:
    """Draw and write every picture; those that are written stay, whatever happens to a later one."""
    from sdrt.images.png import save_png
    from sdrt.records.png_metadata import text_chunks

    is_file = command.output.suffix.lower() == ".png"
    if is_file and len(command.prompts) > 1:
        raise ConfigError(f"-o {command.output} is one file, and there are {len(command.prompts)} prompts; pass a folder")
    if not is_file:
        _make_folder(command.output)
    elif not command.output.parent.is_dir():
        raise ImageError(f"{command.output.parent}: no such folder; make it first, or choose another place with -o")
    pictures: dict[str, Any] = _opened(command.pictures)
    with open_pipeline(command.choice, quiet=not command.progress) as pipe:
        for prompt in command.prompts:
            with _Progress(prompt, shown=command.progress) as progress:
                result = pipe.generate(prompt, command.negative_prompt, on_step=progress, **pictures, **command.options)
            for image, seed in zip(result.images, result.seeds, strict=True):
                if is_file:
                    file = command.output if len(result.seeds) == 1 else command.output.with_suffix(f".{seed}.png")
                else:
                    file = _unused(command.output / picture_name(prompt, seed))
                save_png(image, file, text_chunks(result.settings, seed))
                if command.progress:
                    print(file)


def _add_pictures(command: argparse.ArgumentParser) -> None:
    for name, (flag, text) in _PICTURES.items():
        command.add_argument(flag, dest=name, action="append", default=[], type=Path, metavar="FILE", help=text)


def _opened(files: dict[str, tuple[Path, ...]]) -> dict[str, Any]:
    """Pictures from files, as ``generate`` takes them.

    Raises
    ------
    ImageError : a file that is no picture
    ConfigError : two where one is taken
    """
    from sdrt.images.png import open_picture

    opened: dict[str, Any] = {}
    for name, paths in files.items():
        pictures = [open_picture(path) for path in paths]
        if name != "control_image" and len(pictures) > 1:
            raise ConfigError(f"{_PICTURES[name][0]} is one picture; got {len(pictures)}")
        opened[name] = pictures if name == "control_image" else pictures[0]
    return opened


def _renew(arguments: argparse.Namespace) -> None:
    """Put flags and values of 0.1.0 in today's place."""
    if arguments.cfg is not None:
        _tell_deprecated(f"--cfg {arguments.cfg} is deprecated; write --guidance-batching {arguments.cfg}")
        arguments.guidance_batching = arguments.cfg
    if arguments.emphasis == "no norm":
        _tell_deprecated("--emphasis 'no norm' is deprecated; write --emphasis no_norm")
        arguments.emphasis = "no_norm"


def _tell_deprecated(message: str) -> None:
    """Say it on standard error, where a user looks, and as the warning that a script's tests look for."""
    log.warning(message)
    warnings.warn(message, DeprecationWarning, stacklevel=2)


class _Progress:
    """A bar that appears with the first step, so that an error before it stands alone on its line."""

    def __init__(self, prompt: str, *, shown: bool) -> None:
        self._title = prompt if len(prompt) <= 40 else f"{prompt[:39]}…"
        self._shown = shown
        self._bar: tqdm[NoReturn] | None = None

    def __call__(self, step: "Step") -> None:
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(desc=self._title, total=step.num_steps, unit="step", disable=not self._shown, file=sys.stderr)
        self._bar.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None:
            self._bar.close()


def picture_name(prompt: str, seed: int) -> str:
    """A file name that tells prompt and seed, good on every file system.

    >>> picture_name("A red circle, 50% wide!", 93)
    'a_red_circle_50_wide.93.png'
    """
    words = re.sub(r"[^\w-]+", "_", prompt.lower()).strip("_")
    # a name may have 255 bytes on most file systems, and a letter up to 4
    stem = words.encode()[:120].decode(errors="ignore").rstrip("_")
    return f"{stem or 'picture'}.{seed}.png"


def _unused(file: Path) -> Path:
    """``file``, or the first numbered variant of it that is not there yet: a picture of other settings is not written over."""
    candidate, number = file, 1
    while candidate.exists():
        number += 1
        candidate = file.with_name(f"{file.stem}-{number}.png")
    return candidate


def _read_prompts(file: Path) -> tuple[str, ...]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--prompts {file}: cannot be read ({error}); pass a text file in UTF-8") from error
    prompts = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not prompts:
        raise ConfigError(f"--prompts {file}: holds no prompt; write one on each line")
    return prompts


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{folder}: cannot be made a folder ({error.strerror}); choose another place with -o") from error
