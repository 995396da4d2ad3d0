"""The LoRAs of a pipeline: opened once, chosen by ``loras=`` and :meth:`Pipeline.set_loras`, and by the prompt of a call."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from sdrt.errors import ConfigError, MissingFileError
from sdrt.files import is_file
from sdrt.forking import ForkLock
from sdrt.models import StoredModel, is_folder_of_packages
from sdrt.models.embedded import is_embedded_lora
from sdrt.models.embedded import path as embedded_path
from sdrt.models.hub import DEFAULT_ACCESS, HubAccess, local_lora, means_repository
from sdrt.models.lora import AppliedLora, Lora, find_lora, open_lora
from sdrt.printable import shown
from sdrt.prompt import LoraTag, lora_tags
from sdrt.records.loras import LoraRecord
from sdrt.values import FilePath, Kind, ListOf, Number, RefusedError

__all__ = ["LORAS", "LoraChoice", "LoraLibrary", "recorded", "tags_of"]

# A file, or a file and its strength.
LoraChoice: TypeAlias = str | Path | tuple[str | Path, float]


class _LoraChoice(Kind[tuple[str | Path, float]]):
    """A LoRA's file, alone or with its strength. Text stays text, which may name a repository."""

    def describe(self) -> str:
        return "a path, or a path and a strength"

    def convert(self, value: object) -> tuple[str | Path, float]:
        file, strength = value if isinstance(value, tuple | list) and len(value) == 2 else (value, 1.0)
        if file == "":
            raise RefusedError
        path = FilePath().convert(file)
        return str(file) if isinstance(file, str) else path, float(Number().convert(strength))


# Values of ``loras=``: pairs of a file and its strength.
LORAS = ListOf(_LoraChoice())


class LoraLibrary:
    """Open LoRAs for a model, each once; safe in threads.

    Parameters
    ----------
    model : StoredModel
        Without LoRAs.
    folder : Path or None
        Where LoRAs are looked up by name.
    hub : HubAccess
        How a LoRA is fetched that a repository of the Hub has.
    """

    def __init__(self, model: StoredModel, folder: Path | None = None, hub: HubAccess = DEFAULT_ACCESS) -> None:
        self._model = model
        self._folder = folder
        self._hub = hub
        self._opened: dict[tuple[Path, int, int], Lora] = {}
        self._lock = ForkLock()

    def choose(self, choices: Iterable[tuple[str | Path, float]]) -> tuple[AppliedLora, ...]:
        """Open the LoRAs that a caller lists.

        Parameters
        ----------
        choices : iterable of (file, strength)
            A file that is not there is an embedded LoRA's name, is looked up in the folder, or is a repository's, in this order.

        Raises
        ------
        ConfigError : two have the same name, or the model is of Core ML packages
        ModelError : see `sdrt.models.lora.open_lora`
        """
        chosen: dict[str, AppliedLora] = {}
        for file, strength in choices:
            applied = AppliedLora(self.open(*self._file(file)), strength)
            if (first := chosen.setdefault(applied.lora.name, applied)) is not applied:
                raise ConfigError(
                    f"LoRAs must have different names, got {first.lora.file} and {applied.lora.file}; leave one out, or rename its file"
                )
        return tuple(chosen.values())

    def with_tags(self, chosen: Sequence[AppliedLora], tags: Sequence[LoraTag]) -> tuple[AppliedLora, ...]:
        """Add the LoRAs that a prompt names to those of the pipeline; one that is in both has the prompt's strengths.

        Raises
        ------
        ConfigError : a name is unknown and there is no folder, or as :meth:`choose`
        ModelError : as :meth:`choose`; no file in the folder has the name
        """
        by_name = {each.lora.name: each for each in chosen}
        for tag in tags:
            lora = by_name[tag.name].lora if tag.name in by_name else self.open(self._find(tag.name))
            before = by_name.get(lora.name)
            if before is not None and before.lora.file != lora.file:
                raise ConfigError(f"LoRAs must have different names, got {before.lora.file} and {lora.file}; rename one of the files")
            by_name[lora.name] = AppliedLora(lora, tag.strength, tag.te_strength)
        return tuple(by_name.values())

    def open(self, file: Path, name: str | None = None) -> Lora:
        """Open a LoRA, or find it among those that are open, unless its file has changed.

        Parameters
        ----------
        file : Path
        name : str or None
            What it is called; None: by the file's name.

        Raises
        ------
        ConfigError : the model is of Core ML packages
        ModelError : see `sdrt.models.lora.open_lora`
        """
        if is_folder_of_packages(self._model):
            raise ConfigError(
                f"{self._model.path}: holds Core ML packages, whose weights are fixed, and cannot take {file}; "
                f"convert its source model with --lora {file}"
            )
        with self._lock:
            key = _key(file)
            if key is None or key not in self._opened:
                lora = open_lora(file, self._model, name)
                if key is None:
                    return lora
                self._opened[key] = lora
            return self._opened[key]

    def _file(self, source: str | Path) -> tuple[Path, str | None]:
        """Return a LoRA's file, and what it is called if not by the file's name."""
        file = Path(source)
        if is_file(file):
            return file, None
        if is_embedded_lora(file.as_posix()):
            return embedded_path(file.as_posix()), None
        if self._folder is None:
            return local_lora(source, self._hub)
        try:
            return find_lora(self._folder, file.as_posix()), None
        except MissingFileError:
            if not means_repository(source):
                raise
            return local_lora(source, self._hub)

    def _find(self, name: str) -> Path:
        if is_embedded_lora(name):
            return embedded_path(name)
        if self._folder is None:
            raise ConfigError(
                f"the prompt names the LoRA {shown(name)}, which is not loaded; pass the folder that holds its file as lora_dir, "
                "or choose prompt_syntax='plain' to read the tag as text"
            )
        return find_lora(self._folder, name)


def _key(file: Path) -> tuple[Path, int, int] | None:
    try:
        stat = file.stat()
    except (OSError, ValueError):
        # whatever is wrong with it is said by who opens it
        return None
    return file, stat.st_size, stat.st_mtime_ns


def tags_of(prompts: Sequence[str], prompts_2: Sequence[str] = ()) -> tuple[LoraTag, ...]:
    """Return the LoRAs that the weighted prompts of a call name; those for a second text encoder name none.

    Raises
    ------
    ConfigError : they name different ones, or a second prompt names one; or as :func:`sdrt.prompt.lora_tags`
    """
    if any(map(lora_tags, prompts_2)):
        raise ConfigError("prompt_2 must be without <lora:...>, got one; name it in the prompt, for all networks")
    first, *others = map(lora_tags, prompts)
    if any(set(tags) != set(first) for tags in others):
        raise ConfigError("the prompts of one call must name the same LoRAs, got different ones; make a call for each")
    return first


def recorded(loras: Sequence[AppliedLora], tags: Sequence[LoraTag]) -> dict[str, LoraRecord]:
    """Return what the record of a picture says of its LoRAs; those that act on nothing are left out."""
    named = {tag.name for tag in tags}
    return {
        each.lora.name: LoraRecord(
            sha256=each.lora.sha256,
            data_sha256=each.lora.data_sha256,
            strength=each.strength,
            te_strength=each.te_strength if each.te_strength is not None else each.strength,
            in_prompt=each.lora.name in named,
        )
        for each in loras
    }
