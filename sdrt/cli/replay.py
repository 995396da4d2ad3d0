"""``sdrt replay``: a recorded run, drawn again on any backend, and how far it is from the recorded one."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdrt.cli import signals
from sdrt.cli.console import say
from sdrt.cli.generate import draw_steps
from sdrt.cli.opening import ModelChoice, add_arguments, open_pipeline, parse_choice
from sdrt.cli.output import Output, add_output
from sdrt.cli.paths import a_path
from sdrt.cli.playback import Recorded

__all__ = ["ReplayCommand", "add_command"]


@dataclass(frozen=True, kw_only=True)
class ReplayCommand:
    """One ``sdrt replay``, parsed.

    Parameters
    ----------
    file : Path
        The recording.
    number : int
        Of the run in it.
    output : Output
    choice : ModelChoice
    quiet : bool
    """

    file: Path
    number: int
    output: Output
    choice: ModelChoice
    quiet: bool


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``replay`` to the command line."""
    command = commands.add_parser(
        "replay",
        help="draw a recorded run again, on any backend",
        usage="sdrt replay FILE [options]",
        description="Draw a recorded run again from the settings, pictures and noise arrays in the file, and say how far it is from the "
        "recorded one.",
        epilog="example: sdrt replay run.sdrt --backend numpy -o again.png",
    )
    command.add_argument("file", type=a_path, metavar="FILE", help="a recording of 'sdrt record'")
    # "run" is what a command does, in every namespace
    command.add_argument("--run", dest="number", type=int, default=0, metavar="N", help="which run of the recording, from 0 (default: 0)")
    add_output(command)
    command.add_argument("-q", "--quiet", action="store_true", help="print no progress bar, no file names and no remarks")
    add_arguments(command)
    command.set_defaults(run=lambda arguments: run(parse(arguments)))


def parse(arguments: argparse.Namespace) -> ReplayCommand:
    """Return the command that the arguments mean.

    Raises
    ------
    ConfigError : a place where no pictures go
    """
    return ReplayCommand(
        file=arguments.file,
        number=arguments.number,
        output=Output.parse(arguments, 1),
        choice=parse_choice(arguments),
        quiet=arguments.quiet,
    )


def run(command: ReplayCommand) -> None:
    """Draw, write the pictures, and say how far they are from the recorded ones."""
    from sdrt.compare.replaying import distance, replay_options
    from sdrt.recordings import Recording

    recording = Recording.open(command.file)
    recorded = Recorded(command.file, recording.settings(command.number), None)
    options: dict[str, Any] = replay_options(recording, command.number)
    with command.output.opened(), open_pipeline(_choice(recorded, command.choice), quiet=command.quiet) as pipe:
        steps = pipe.steps(**options)
        recorded.tell_differences(steps.settings)
        result = draw_steps(steps, steps.settings.prompt, command.quiet)
        with signals.deferred():
            files = command.output.save(result)
            if not command.quiet:
                say(*map(str, files), str(distance(recording, result, command.number)))


def _choice(recorded: Recorded, given: ModelChoice) -> ModelChoice:
    """Return the choice of model and backends, the recording's where the command line says nothing and they are here."""
    from sdrt.backends import registry
    from sdrt.recordings import is_recording

    if given.model is not None and is_recording(Path(given.model)):
        # which has its own settings
        return given
    choice = recorded.choice(given)
    if given.backend is None and isinstance(choice.backend, dict):
        known = {component: name for component, name in choice.backend.items() if name in registry.names()}
        return replace(choice, backend=known or None)
    return choice
