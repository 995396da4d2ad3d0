"""``sdrt batch``: many calls, from a file of jobs; what is finished is not drawn again."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrt.cli import signals
from sdrt.cli.console import say, tell
from sdrt.cli.opening import ModelChoice, add_arguments, open_pipeline, parse_choice
from sdrt.cli.options import add_options, input_files, parse_options
from sdrt.cli.output import Output, add_output
from sdrt.cli.paths import a_path
from sdrt.cli.progress import Bar
from sdrt.cli.prompts import prompt_text, read_prompts
from sdrt.cli.wildcards import Wildcards, image_seeds
from sdrt.errors import ConfigError
from sdrt.log import log

if TYPE_CHECKING:
    from sdrt.batch import Job, Outcome, RowError
    from sdrt.pipeline.pipeline import Pipeline
    from sdrt.pipeline.steps import Steps

__all__ = ["BatchCommand", "add_command", "add_shared", "defaults_of", "draw_all"]

_ABOUT = (
    "Draw the pictures of a file of jobs: JSON lines, each an object of options by the names of Pipeline.generate, or CSV with such names "
    "in its first line; besides these prompt, negative_prompt, name (for the files), and pictures by paths relative to the file. In JSON "
    'lines, {"defaults": {...}} may stand first. Flags hold where a row says nothing. A row without a seed gets one that follows from what '
    "it says. Pictures that the folder already has, by the records inside them, are not drawn again: a batch that was ended goes on. "
    "manifest.jsonl says what became of each row."
)

_SAID = {"drawn": "drawn", "finished": "finished before", "elsewhere": "being drawn by another process"}


@dataclass(frozen=True, kw_only=True)
class BatchCommand:
    """One ``sdrt batch``, parsed.

    Parameters
    ----------
    jobs : Path or None
        The file of jobs.
    prompts : tuple of str
        One job for each, where there is no file.
    defaults : dict
        What holds where a row says nothing.
    output : Output
    choice : ModelChoice
    stop : bool
        Whether the first row that fails ends the batch.
    quiet : bool
    wildcards : Wildcards or None
        What ``__name__`` in a prompt becomes, by the seed of each image.
    """

    jobs: Path | None
    prompts: tuple[str, ...]
    defaults: dict[str, Any]
    output: Output
    choice: ModelChoice
    stop: bool
    quiet: bool
    wildcards: Wildcards | None = None


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``batch`` to the command line."""
    command = commands.add_parser(
        "batch",
        help="draw many pictures, from a file of jobs",
        usage="sdrt batch JOBS [options]\n       sdrt batch --prompts FILE [options]",
        description=_ABOUT,
        epilog="example: sdrt batch jobs.jsonl --steps 20 -o pictures/",
    )
    command.add_argument("jobs", nargs="?", type=a_path, metavar="JOBS", help="a file of JSON lines, or ending in .csv or .tsv")
    command.add_argument(
        "--prompts",
        type=a_path,
        metavar="FILE",
        help="instead: a text file with one prompt a line, '#' before a comment; '-' for standard input",
    )
    command.add_argument(
        "--wildcards",
        type=a_path,
        metavar="FOLDER",
        help="fill __name__ in prompts with a line of FOLDER/name.txt, drawn by the seed of each image",
    )
    command.add_argument("--stop", action="store_true", help="end at the first row that fails (default: go on with the others)")
    add_shared(command)
    command.set_defaults(run=lambda arguments: run(parse(arguments)))


def add_shared(command: argparse.ArgumentParser) -> None:
    """Add what every command that draws many pictures into a folder takes."""
    command.add_argument("--negative-prompt", type=prompt_text, metavar="TEXT", help="what to steer away from")
    add_output(command, "a folder")
    command.add_argument("-q", "--quiet", action="store_true", help="print no progress bar, no file names and no remarks")
    add_options(command)
    add_arguments(command)
    command.set_defaults(
        kept="pictures that were finished are kept; the same command goes on with the others",
        lost="all pictures are drawn, but not all their names were read",
    )


def parse(arguments: argparse.Namespace) -> BatchCommand:
    """Return the command that the arguments mean.

    Raises
    ------
    ConfigError : no jobs, two files of them, or a place where no pictures go
    """
    if (arguments.jobs is None) == (arguments.prompts is None):
        got = "none" if arguments.jobs is None else "both"
        raise ConfigError(f"the jobs must be a file, or prompts (--prompts), got {got}; pass one of them")
    return BatchCommand(
        jobs=arguments.jobs,
        prompts=() if arguments.prompts is None else read_prompts(arguments.prompts),
        defaults=defaults_of(arguments),
        output=Output.parse_folder(arguments),
        choice=parse_choice(arguments),
        stop=arguments.stop,
        quiet=arguments.quiet,
        wildcards=None if arguments.wildcards is None else Wildcards(arguments.wildcards),
    )


def defaults_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the command line as a row of a file would have them.

    Raises
    ------
    ConfigError : one is of another kind than its option
    """
    from sdrt.batch.values import read_value

    given = parse_options(arguments) | {name: [str(path.absolute()) for path in paths] for name, paths in input_files(arguments).items()}
    if arguments.negative_prompt is not None:
        given["negative_prompt"] = arguments.negative_prompt
    return {name: read_value(name, name, value) for name, value in given.items()}


def run(command: BatchCommand) -> None:
    """Draw every job; those that are finished stay, whatever happens to a later one.

    Raises
    ------
    ConfigError : the jobs cannot be read, or some of them failed, which the lines before say
    """
    from sdrt.batch import RowError, jobs_of_prompts, read_jobs

    jobs = jobs_of_prompts(command.prompts, command.defaults) if command.jobs is None else read_jobs(command.jobs, command.defaults)
    if command.wildcards is not None:
        jobs = [_filled(job, command.wildcards) for job in jobs]
    wrong = [job for job in jobs if isinstance(job, RowError)]
    if wrong and command.stop:
        raise ConfigError(wrong[0].error)
    for job in wrong:
        log.error("%s", job.error)
    if len(wrong) == len(jobs):
        raise ConfigError(f"none of the {len(jobs)} rows can be drawn; correct them")
    with command.output.opened(), open_pipeline(command.choice, quiet=command.quiet) as pipe:
        draw_all(pipe, jobs, command.output, stop=command.stop, quiet=command.quiet)


def _filled(job: "Job | RowError", wildcards: Wildcards) -> "Job | RowError":
    """Return a job with words in place of its wildcards."""
    from sdrt.batch import RowError

    if isinstance(job, RowError):
        return job
    seeds, _ = image_seeds({**job.files, **job.options})
    try:
        return replace(job, prompt=wildcards.fill(job.prompt, seeds), negative_prompt=wildcards.fill(job.negative_prompt, seeds))
    except ConfigError as error:
        return RowError(job.number, f"{job.where}: {error}")


def draw_all(
    pipe: "Pipeline", jobs: "Sequence[Job | RowError]", output: Output, *, stop: bool, quiet: bool, what: str = "rows"
) -> "list[Outcome]":
    """Draw jobs with a bar for each, name the files, and return what became of each.

    Parameters
    ----------
    pipe : Pipeline
    jobs : sequence of Job or RowError
    output : Output
        A folder.
    stop : bool
        Whether the first job that fails ends it.
    quiet : bool
    what : str
        What the jobs are, for messages.

    Raises
    ------
    ConfigError : some of them failed
    """
    from sdrt.batch import RowError, draw_jobs

    def draw(job: "Job", steps: "Steps") -> None:
        title = job.name or steps.settings.prompt
        with Bar(f"{job.number}/{len(jobs)} {title}", shown=not quiet) as bar:
            for done, step in enumerate(steps, 1):
                bar(done, step.num_steps)

    outcomes = []
    for outcome in draw_jobs(pipe, jobs, output.path, format=output.kind, quality=output.quality, draw=draw):
        signals.check()
        outcomes.append(outcome)
        if outcome.state == "failed" and not isinstance(outcome.job, RowError):
            log.error("%s", outcome.error)
            if stop:
                break
        if outcome.state == "drawn" and not quiet:
            say(*map(str, outcome.files))
    failed = sum(outcome.state == "failed" for outcome in outcomes)
    counts = {text: sum(outcome.state == state for outcome in outcomes) for state, text in _SAID.items()}
    if not quiet:
        tell(f"sdrt: of {len(jobs)} {what}: {', '.join(f'{count} {text}' for text, count in counts.items() if count) or 'none drawn'}")
    if failed:
        raise ConfigError(
            f"{failed} of {len(jobs)} {what} failed; correct them, and run it again: {output.path / 'manifest.jsonl'} says why"
        )
    return outcomes
