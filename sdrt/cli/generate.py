"""``sdrt generate``: pictures of one prompt, of a file of prompts, or of the record inside a picture."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from sdrt.cli.opening import ModelChoice, add_arguments, open_pipeline, parse_choice
from sdrt.cli.options import add_options, open_pictures, parse_options, picture_files
from sdrt.cli.playback import Recorded
from sdrt.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from tqdm import tqdm

    from sdrt.pipeline.results import Result
    from sdrt.pipeline.step import Step

__all__ = ["GenerateCommand", "add_command"]

# Endings that ask for a picture of another format; any other name is a folder's.
_OTHER_PICTURES = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, kw_only=True)
class GenerateCommand:
    """One ``sdrt generate``, parsed.

    Parameters
    ----------
    prompts : tuple of str
        Empty: that of the record.
    negative_prompt : str or None
        None: that of the record, or none.
    recorded : Path or None
        The picture whose record is played back.
    output : Path
        A folder, or the file of the one picture.
    choice : ModelChoice
    pictures : dict
        Files of pictures that go to ``Pipeline.generate`` once they are opened.
    progress : bool
    options : dict
        What else goes to ``Pipeline.generate``.
    """

    prompts: tuple[str, ...]
    negative_prompt: str | None
    recorded: Path | None
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
        usage="sdrt generate PROMPT [options]\n       sdrt generate --from PICTURE.png [options]",
        description="Draw pictures of a prompt, and write them as PNG files that carry their settings.",
        epilog='example: sdrt generate "a red circle" --seed 93 -o pictures/',
    )
    command.add_argument("prompt", nargs="?", metavar="PROMPT", help="what to draw")
    command.add_argument("--prompts", type=Path, metavar="FILE", help="a text file with a prompt on each line")
    command.add_argument("--negative-prompt", metavar="TEXT", help="what to steer away from")
    command.add_argument(
        "--from",
        dest="recorded",
        type=Path,
        metavar="FILE",
        help="draw the picture in this PNG again, from the settings inside it; other flags replace single settings",
    )
    command.add_argument(
        "-o", "--output", type=Path, default=Path(), metavar="PATH", help="a folder, or a file ending in .png (default: the current folder)"
    )
    command.add_argument("-q", "--quiet", action="store_true", help="print no progress bar and no file names")
    add_options(command)
    add_arguments(command)
    command.set_defaults(run=lambda arguments: run(parse(arguments)))


def parse(arguments: argparse.Namespace) -> GenerateCommand:
    """Return the command that the arguments mean.

    Raises
    ------
    ConfigError : no prompt, two of them, or an empty or unreadable file of prompts
    """
    if arguments.prompt is not None and arguments.prompts is not None:
        raise ConfigError("the prompt must be one text or a file (--prompts), got both; leave one of them out")
    if arguments.prompt is None and arguments.prompts is None and arguments.recorded is None:
        raise ConfigError("the prompt must be a text, a file (--prompts) or a picture's (--from), got none; pass one of them")
    prompts = () if arguments.prompt is None else (arguments.prompt,)
    return GenerateCommand(
        prompts=prompts if arguments.prompts is None else _read_prompts(arguments.prompts),
        negative_prompt=arguments.negative_prompt,
        recorded=arguments.recorded,
        output=arguments.output,
        choice=parse_choice(arguments),
        pictures=picture_files(arguments),
        progress=not arguments.quiet,
        options=parse_options(arguments),
    )


def run(command: GenerateCommand) -> None:
    """Draw and write every picture; those that are written stay, whatever happens to a later one."""
    from sdrt.images.files import make_folder

    is_file = command.output.suffix.lower() == ".png"
    if command.output.suffix.lower() in _OTHER_PICTURES and not command.output.is_dir():
        raise ConfigError(f"-o must be a folder, or a file ending in .png, got {command.output}; write PNG, which carries the settings")
    if is_file and len(command.prompts) > 1:
        raise ConfigError(f"-o must be a folder for {len(command.prompts)} prompts, got the file {command.output}; pass a folder")
    if is_file and not command.output.parent.is_dir():
        raise ImageError(f"{command.output.parent}: no such folder; make it first, or choose another place with -o")
    recorded = None if command.recorded is None else Recorded.read(command.recorded)
    pictures = open_pictures(command.pictures)
    choice, options, prompts, negative = command.choice, pictures | command.options, command.prompts, command.negative_prompt
    if recorded is not None:
        choice, options = recorded.choice(choice), recorded.options(pictures, command.options)
        prompts = prompts or (recorded.settings.prompt,)
        negative = recorded.settings.negative_prompt if negative is None else negative
    if not is_file:
        make_folder(command.output)
    with open_pipeline(choice, quiet=not command.progress) as pipe:
        for prompt in prompts:
            steps = pipe.steps(prompt, negative or "", **options)
            if recorded is not None:
                recorded.tell_differences(steps.settings)
            with _Progress(prompt, shown=command.progress) as progress:
                for step in steps:
                    progress(step)
            result = steps.result() if recorded is None else _only(steps.result(), recorded.index)
            for file in _save(result, command.output, is_file=is_file):
                if command.progress:
                    print(file)


def _only(result: "Result", index: int | None) -> "Result":
    """Return the one image of a call that a picture's record names; all where it names none."""
    if index is None or index not in range(len(result.images)):
        return result
    return replace(result, images=[result.images[index]], seeds=(result.seeds[index],), latents=result.latents[index : index + 1])


def _save(result: "Result", output: Path, *, is_file: bool) -> Iterator[Path]:
    """Write the images of a result, and print each name after writing."""
    if not is_file:
        yield from result.save(output)
        return
    from sdrt.images.png import save_png
    from sdrt.records import text_chunks

    for image, seed in zip(result.images, result.seeds, strict=True):
        file = output if len(result.seeds) == 1 else output.with_suffix(f".{seed}.png")
        save_png(image, file, text_chunks(result.settings, seed))
        yield file


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


def _read_prompts(file: Path) -> tuple[str, ...]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--prompts {file}: cannot be read ({error}); pass a text file in UTF-8") from error
    prompts = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not prompts:
        raise ConfigError(f"--prompts {file}: must hold a prompt on each line, got none; write some")
    return prompts
