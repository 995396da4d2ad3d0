"""``sdrt download``: a repository of the Hub, or a part of it, as a folder of plain files."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrt.cli.console import say, tell
from sdrt.cli.opening import CHOICES
from sdrt.cli.options import fold
from sdrt.cli.paths import a_path
from sdrt.cli.progress import Bar
from sdrt.errors import SdrtError

if TYPE_CHECKING:
    from sdrt.models.hub import DownloadProgress

__all__ = ["DownloadCommand", "add_command"]

_ABOUT = (
    "Download a repository of the Hugging Face Hub into a new folder. Without --variant and --all it gets what a model needs, with one set "
    "of weights. What has arrived when this is interrupted is kept, and the same command goes on from there. HF_TOKEN, or 'hf auth login', "
    "opens private and gated repositories."
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
    command.add_argument("--cache-dir", type=a_path, metavar="DIR", help="the Hub's cache, from which files are copied that it has")
    command.add_argument("-y", "--yes", action="store_true", help="do not ask before more than 1 GB is fetched")
    command.add_argument("-q", "--quiet", action="store_true", help="tell neither the size nor the progress")
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

    with Bar(command.repository, shown=not command.quiet, unit="B") as bar:
        place = download(command.repository, command.output, on_download=_Listener(command, bar), **command.options)
    say(str(place))


class _Listener:
    """Tells the size of a download before its first byte, asks where it is large, and moves the bar."""

    def __init__(self, command: DownloadCommand, bar: Bar) -> None:
        self._command, self._bar = command, bar
        self._began = False

    def __call__(self, progress: "DownloadProgress") -> None:
        if not self._began:
            self._began = True
            self._begin(progress)
        self._bar(progress.done_bytes, progress.total_bytes)

    def _begin(self, progress: "DownloadProgress") -> None:
        from sdrt.models.hub import in_words

        size = in_words(progress.total_bytes)
        if not self._command.quiet:
            tell(f"sdrt: {self._command.repository}: {size} into {self._command.output}")
        if progress.total_bytes > _ASKED_ABOVE and not self._command.yes and _is_at_a_terminal():
            tell(f"sdrt: fetch {size}? [y/N]")
            if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                raise SdrtError(f"{self._command.repository}: not fetched, as you wish; --yes fetches without a question")


def _is_at_a_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()
