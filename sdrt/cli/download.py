"""``sdrt download``: a repository of the Hub, or a part of it, as a folder of plain files."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrt.cli.console import say, tell
from sdrt.cli.downloads import Downloads
from sdrt.cli.opening import CHOICES
from sdrt.cli.options import fold
from sdrt.cli.paths import a_path
from sdrt.errors import SdrtError

if TYPE_CHECKING:
    from sdrt.models.hub import DownloadProgress

__all__ = ["DownloadCommand", "add_command"]

_ABOUT = (
    "Download a repository of the Hugging Face Hub into a new folder: without --variant and --all, what a model needs, with one set of "
    "weights. If it is interrupted, what has arrived is kept, and the same command goes on from there. Private and gated repositories need "
    "HF_TOKEN, or a login by 'hf auth login'."
)
_EXAMPLES = (
    "examples: sdrt download apple/coreml-stable-diffusion-v1-4 --variant original/packages -o models/; "
    "sdrt download stabilityai/sd-turbo@main --variant fp16; sdrt download someone/loras::ink.safetensors"
)
# Fetched without a question, in bytes.
_ASKED_ABOVE = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class DownloadCommand:
    """One ``sdrt download``, parsed.

    Parameters
    ----------
    repository : str
    output : Path
    options : dict
        What else goes to ``sdrt.download``.
    yes : bool
        Whether a large download begins without a question.
    quiet : bool
    """

    repository: str
    output: Path
    options: dict[str, Any]
    yes: bool
    quiet: bool


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``download`` to the command line."""
    command = commands.add_parser(
        "download", help="download a model of the Hugging Face Hub into a folder", description=_ABOUT, epilog=_EXAMPLES
    )
    command.add_argument("repository", metavar="REPOSITORY", help="OWNER/NAME, OWNER/NAME@REVISION or OWNER/NAME::FILE")
    command.add_argument(
        "--variant",
        metavar="NAME",
        help="a folder of the repository, such as original/packages, whose files stand at the top of the new one; "
        "or a variant of weights, such as fp16",
    )
    command.add_argument("--all", dest="everything", action="store_true", help="every file of the repository")
    command.add_argument(
        "-o", "--output", type=a_path, default=Path(), metavar="DIR", help="where the new folder is made (default: the current folder)"
    )
    command.add_argument(
        "--pickled", default="refuse", metavar="NAME", help="weights_only takes pickled weights where there are no others (default: refuse)"
    )
    command.add_argument(
        "--cache-dir",
        type=a_path,
        metavar="DIR",
        help="the Hub's cache: what it has is copied (default: the Hub client's own cache)",
    )
    command.add_argument("-y", "--yes", action="store_true", help="do not ask before more than 1 GB is fetched")
    command.add_argument("-q", "--quiet", action="store_true", help="print neither the size nor a progress bar")
    command.set_defaults(
        run=lambda arguments: run(_parse(arguments)), kept="what has arrived is kept, and the same command goes on from there"
    )


def _parse(arguments: argparse.Namespace) -> DownloadCommand:
    options = {name: getattr(arguments, name) for name in ("variant", "everything", "cache_dir")}
    return DownloadCommand(
        repository=arguments.repository,
        output=arguments.output,
        options={**options, "pickled": fold(arguments.pickled, CHOICES["pickled"])},
        yes=arguments.yes,
        quiet=arguments.quiet,
    )


def run(command: DownloadCommand) -> None:
    """Download, and print where the files are.

    Raises
    ------
    SdrtError : see `sdrt.download`; or whoever sits at the terminal says no
    """
    from sdrt.models.hub import download

    with Downloads(quiet=command.quiet) as downloads:

        def listen(progress: "DownloadProgress") -> None:
            if progress.done_bytes == 0 and not command.yes:
                _ask(command, progress.total_bytes)
            downloads(progress)

        place = download(command.repository, command.output, on_download=listen, **command.options)
    say(str(place))


def _ask(command: DownloadCommand, size: int) -> None:
    """Ask whether a large download is meant, if somebody is there.

    Raises
    ------
    SdrtError : it is not
    """
    from sdrt.models.hub import in_words

    if size <= _ASKED_ABOVE or not _is_at_a_terminal():
        return
    tell(f"sdrt: fetch {in_words(size)} of {command.repository} into {command.output}? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise SdrtError(f"{command.repository}: not fetched, since the answer was no; --yes fetches without a question")


def _is_at_a_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()
