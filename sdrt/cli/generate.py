"""``sdrt generate``: pictures of one prompt, of a file of prompts, or of the record inside a picture."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrt.cli import signals
from sdrt.cli.console import say
from sdrt.cli.destination import Destination
from sdrt.cli.opening import ModelChoice, add_arguments, open_pipeline, parse_choice
from sdrt.cli.options import add_options, input_files, parse_options
from sdrt.cli.outpainting import Borders, add_outpaint, outpainted
from sdrt.cli.output import Output, add_output
from sdrt.cli.paths import a_path
from sdrt.cli.playback import Recorded
from sdrt.cli.previews import Previews, add_previews
from sdrt.cli.progress import Bar
from sdrt.cli.prompts import prompt_text, read_prompts
from sdrt.cli.wildcards import Wildcards, image_seeds
from sdrt.errors import ConfigError
from sdrt.log import log
from sdrt.pipeline.input_files import open_inputs

if TYPE_CHECKING:
    from sdrt.pipeline.pipeline import Pipeline
    from sdrt.pipeline.results import Result
    from sdrt.pipeline.step import Step
    from sdrt.pipeline.steps import Steps

__all__ = ["GenerateCommand", "add_command", "add_drawing", "draw", "draw_steps", "parse_drawing"]


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
    output : Destination or None
        None: the pictures are not written.
    choice : ModelChoice
    pictures : dict
        Files of pictures and arrays that go to ``Pipeline.generate`` once they are opened.
    borders : Borders or None
        What ``--outpaint`` adds to the picture.
    quiet : bool
    options : dict
        What else goes to ``Pipeline.generate``.
    wildcards : Wildcards or None
        What ``__name__`` in a prompt becomes, by the seed of each image.
    on_step : callable or None
        Called with each step before the next one is made, such as to write previews.
    previews : Previews or None
        Previews beside the pictures of an `Output`.
    """

    prompts: tuple[str, ...]
    negative_prompt: str | None
    recorded: Path | None = None
    output: Destination | None
    choice: ModelChoice
    pictures: dict[str, tuple[Path, ...]]
    borders: Borders | None = None
    quiet: bool
    options: dict[str, Any]
    wildcards: Wildcards | None = None
    on_step: "Callable[[Step], None] | None" = None
    previews: Previews | None = None


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``generate`` to the command line."""
    command = commands.add_parser(
        "generate",
        help="draw pictures of a prompt",
        usage="sdrt generate PROMPT [options]\n       sdrt generate --from PICTURE.png [options]",
        description="Draw pictures of a prompt, and write them as files that carry their settings.",
        epilog='example: sdrt generate "a red circle" --seed 93 -o pictures/',
    )
    add_output(command)
    add_previews(command)
    add_drawing(command)
    command.set_defaults(run=lambda arguments: run(parse(arguments)))


def add_drawing(command: argparse.ArgumentParser) -> None:
    """Add what every command that draws the pictures of prompts takes, but for where they go."""
    command.add_argument("prompt", nargs="?", type=prompt_text, metavar="PROMPT", help="what to draw")
    command.add_argument(
        "--prompt", dest="prompt_flag", type=prompt_text, metavar="PROMPT", help="the same, for a prompt that begins with a dash"
    )
    command.add_argument(
        "--prompts",
        type=a_path,
        metavar="FILE",
        help="a text file with one prompt a line, '#' before a comment; '-' for standard input",
    )
    command.add_argument("--negative-prompt", type=prompt_text, metavar="TEXT", help="what to steer away from")
    command.add_argument(
        "--from",
        dest="recorded",
        type=a_path,
        metavar="FILE",
        help="draw this picture again, from the settings inside it; other flags replace single settings",
    )
    command.add_argument(
        "--wildcards",
        type=a_path,
        metavar="FOLDER",
        help="fill __name__ in prompts with a line of FOLDER/name.txt, drawn by the seed of each image",
    )
    command.add_argument("-q", "--quiet", action="store_true", help="print no progress bar, no file names and no remarks")
    add_options(command)
    add_outpaint(command)
    add_arguments(command)
    command.set_defaults(
        kept="pictures that were finished are kept",
        lost="all pictures are drawn, but not all their names were read",
    )


def parse(arguments: argparse.Namespace) -> GenerateCommand:
    """Return the command that the arguments mean.

    Raises
    ------
    ConfigError : as `parse_drawing` and `Previews.parse`
    """
    return replace(parse_drawing(arguments, Output.parse), previews=Previews.parse(arguments))


def parse_drawing(arguments: argparse.Namespace, place: Callable[[argparse.Namespace, int], Destination] | None) -> GenerateCommand:
    """Return the command that the arguments mean.

    Parameters
    ----------
    arguments : Namespace
    place : callable or None
        Returns the place of the pictures of so many prompts; None: they are not written.

    Raises
    ------
    ConfigError : no prompt, two of them, an empty or unreadable file of prompts, or a place where no pictures go
    """
    texts = [text for text in (arguments.prompt, arguments.prompt_flag) if text is not None]
    if len(texts) + (arguments.prompts is not None) > 1:
        raise ConfigError("the prompt must be one text or a file (--prompts), got both; leave one of them out")
    if not texts and arguments.prompts is None and arguments.recorded is None:
        raise ConfigError("a prompt must be given as text, in a file (--prompts) or in a picture (--from), got none; pass one of them")
    prompts = tuple(texts) if arguments.prompts is None else read_prompts(arguments.prompts)
    return GenerateCommand(
        prompts=prompts,
        negative_prompt=arguments.negative_prompt,
        recorded=arguments.recorded,
        output=None if place is None else place(arguments, len(prompts)),
        choice=parse_choice(arguments),
        pictures=input_files(arguments),
        borders=arguments.outpaint,
        quiet=arguments.quiet,
        options=parse_options(arguments),
        wildcards=None if arguments.wildcards is None else Wildcards(arguments.wildcards),
    )


def run(command: GenerateCommand) -> None:
    """Draw and write every picture; those that are written stay, whatever happens to a later one."""
    draw(command, nullcontext)


def draw(command: GenerateCommand, watching: "Callable[[Pipeline], AbstractContextManager[object]]") -> None:
    """Draw and write every picture, in a context that is made for the pipeline."""
    recorded = None if command.recorded is None else Recorded.read(command.recorded)
    pictures = outpainted(open_inputs(command.pictures), command.borders)
    choice, options = command.choice, pictures | command.options
    # of a record with a list, a prompt for each image
    prompts: Sequence[str | tuple[str, ...]] = command.prompts
    negative: str | tuple[str, ...] | None = command.negative_prompt
    if recorded is not None:
        choice, options = recorded.choice(choice), recorded.options(pictures, command.options)
        prompts = prompts or (recorded.prompt,)
        negative = recorded.negative_prompt if negative is None else negative
    output = command.output
    with nullcontext() if output is None else output.opened(), open_pipeline(choice, quiet=command.quiet) as pipe, watching(pipe):
        for prompt in prompts:
            texts: tuple[str | tuple[str, ...], str | tuple[str, ...]] = (prompt, negative or "")
            of_call = options
            if command.wildcards is not None:
                seeds, of_call = image_seeds(options)
                texts = (command.wildcards.fill(texts[0], seeds), command.wildcards.fill(texts[1], seeds))
            steps = pipe.steps(*texts, **of_call)
            if recorded is not None:
                recorded.tell_differences(steps.settings)
            on_step = command.on_step
            if command.previews is not None and isinstance(output, Output):
                on_step = command.previews.writing(pipe, steps, output)
            result = draw_steps(steps, steps.settings.prompt, command.quiet, on_step)
            if recorded is not None:
                result = _only(result, recorded.index)
            # a name that is printed is that of a whole file, and no file is left that is not whole
            with signals.deferred():
                files = [] if output is None else output.save(result)
                if not command.quiet:
                    say(*map(str, files))
                _tell_drawn(options, steps, named=output is not None and output.names_seeds)


def _tell_drawn(options: Mapping[str, Any], steps: "Steps", *, named: bool) -> None:
    """Say which seeds were drawn, where the files' names do not show it."""
    seed, settings = options.get("seed"), steps.settings
    asked = -1 in seed if isinstance(seed, list | tuple) else seed == -1
    if asked or (seed is None and not named):
        log.warning("the %s drawn: %s", "seed was" if len(steps.seeds) == 1 else "seeds were", ", ".join(map(str, steps.seeds)))
    if settings.subseed_strength and options.get("subseed", -1) == -1:
        log.warning("the subseed was drawn: %s", settings.subseed)


def draw_steps(steps: "Steps", prompt: str, quiet: bool, on_step: "Callable[[Step], None] | None" = None) -> "Result":
    """Make the steps of a call under a progress bar, and return its result."""
    with Bar(prompt, shown=not quiet) as bar:
        for done, step in enumerate(steps, 1):
            bar(done, step.num_steps)
            if on_step is not None:
                on_step(step)
    result = steps.result()
    signals.check()
    return result


def _only(result: "Result", index: int | None) -> "Result":
    """Return the one image of a call that a picture's record names; all where it names none."""
    if index is None or index not in range(len(result.images)):
        return result
    flagged = result.flagged and result.flagged[index : index + 1]
    image, seed, latents = result.images[index], result.seeds[index], result.latents[index : index + 1]
    return replace(result, images=[image], seeds=(seed,), latents=latents, flagged=flagged)
