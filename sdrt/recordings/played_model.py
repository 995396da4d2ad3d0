"""A model as a recording describes it: configurations and tokenizers without weights, enough for a pipeline to run on recorded networks."""

import json
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sdrt.errors import MissingFileError, RecordingError, SdrtError
from sdrt.files import is_file, read_bytes
from sdrt.models import COMPONENTS, ComponentName, ComponentTensors, Embedding, Model, ModelLimits, PipelineFlags, StoredModel
from sdrt.models.folder import FEATURE_EXTRACTOR
from sdrt.printable import shown
from sdrt.records.formats import from_json_values, to_json_values
from sdrt.values import Anything, Choice, Flag, Integer, Kind, ListOf, MappingOf, Nullable, Text, read_values

__all__ = ["PlayedModel", "describe_model"]

# What a tokenizer's folder may hold that its reader looks at.
_TOKENIZER_FILES = (
    "vocab.json",
    "merges.txt",
    "merges.text",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_ENCODERS: tuple[ComponentName, ...] = ("text_encoder", "text_encoder_2")

# Of one token; those that people train have at most some tens.
_MOST_VECTORS = 10_000

_OBJECT = MappingOf(Anything())
_SIDE = Integer(1, 100_000)
_COMPONENT = Choice(*COMPONENTS)
_KINDS: Mapping[str, Kind[Any]] = {
    "name": Text(1_000, empty=False),
    "configs": MappingOf(_OBJECT),
    "scheduler_config": _OBJECT,
    "defaults": _OBJECT,
    "feature_extractor_config": _OBJECT,
    "force_zeros_for_empty_prompt": Flag(),
    "sizes": ListOf(ListOf(_SIDE, 2, 2)),
    "num_tokens": Nullable(_SIDE),
    "timestep_dtype": Choice("float32", "float16"),
    "pad_tokens": MappingOf(Text(1_000)),
    "tokenizers": MappingOf(MappingOf(Text(200, empty=False))),
    "embedding_ids": MappingOf(MappingOf(ListOf(Integer(0, 2**31), 2, 2))),
}


def describe_model(model: Model, prefix: str = "") -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return what a pipeline needs to know of a model beside its weights, and the files of its tokenizers.

    Parameters
    ----------
    model : Model
    prefix : str
        What stands before the names of its files in the recording.
    """
    files: dict[str, bytes] = {}
    tokenizers: dict[str, dict[str, str]] = {}
    for component, folder in zip(_ENCODERS, (model.tokenizer_path, model.tokenizer_2_path), strict=True):
        if folder is not None and component in model.components:
            there = {name: f"{prefix}{component.replace('text_encoder', 'tokenizer')}/{name}" for name in _TOKENIZER_FILES}
            tokenizers[component] = {name: entry for name, entry in there.items() if is_file(folder / name)}
            files |= {entry: read_bytes(folder / name, model.allowed) for name, entry in tokenizers[component].items()}
    about = {
        "name": model.name,
        "configs": _configs(model),
        "scheduler_config": to_json_values(model.scheduler_config),
        "defaults": dict(model.defaults),
        "feature_extractor_config": dict(model.feature_extractor_config),
        "force_zeros_for_empty_prompt": model.flags.force_zeros_for_empty_prompt,
        **asdict(model.limits),
        "pad_tokens": dict(model.pad_tokens),
        "tokenizers": tokenizers,
        "embedding_ids": {
            component: {token: [ids.start, ids.stop] for token, ids in model.embedding_ids(component).items()}
            for component in _ENCODERS
            if component in model.components and model.embeddings
        },
    }
    # tuples become lists here, and not where it is read
    return json.loads(json.dumps(about)), files


def _configs(model: Model) -> dict[str, dict[str, Any]]:
    configs: dict[str, dict[str, Any]] = {}
    for component in model.components:
        # one that cannot be used is not used by the run either
        with suppress(SdrtError):
            configs[component] = dict(model.config(component))
    return configs


class UnpackedFiles:
    """A folder in the system's place for temporary files, which goes with this object.

    Attributes
    ----------
    path : Path
    """

    def __init__(self) -> None:
        from shutil import rmtree
        from tempfile import mkdtemp

        self.path = Path(mkdtemp(prefix="sdrt-recording-"))
        weakref.finalize(self, rmtree, self.path, ignore_errors=True)

    def add(self, name: str, content: bytes) -> None:
        """Write a file below the folder."""
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)


@dataclass(frozen=True)
class PlayedModel(StoredModel):
    """A model of a recording; it has no weights.

    Parameters
    ----------
    about : mapping
        What `describe_model` returned, checked.
    folder : UnpackedFiles or None
        Where the tokenizers' files are while the model lives.
    """

    holds_packages: ClassVar[bool] = False

    about: Mapping[str, Any] = field(default_factory=dict)
    folder: "UnpackedFiles | None" = field(default=None, repr=False, compare=False)

    @classmethod
    def read(cls, path: Path, about: object, files: Mapping[str, bytes]) -> "PlayedModel":
        """Make the model that a recording describes.

        Parameters
        ----------
        path : Path
            Of the recording.
        about : object
            What its header says of the model.
        files : mapping
            The entries of the recording that are tokenizers' files.

        Raises
        ------
        RecordingError : the header does not describe a model
        ConfigError : a configuration has a value that its key does not take
        """
        owner, repair = f"{path}: the header's model ", "record it with sdrt's own pipeline"
        if not isinstance(about, Mapping) or (missing := sorted(_KINDS.keys() - about.keys())):
            lacking = ", ".join(missing) if isinstance(about, Mapping) else "all of it"
            raise RecordingError(f"{path}: the header must describe the model, got none of {lacking}; pass the model itself")
        known = read_values(owner, about, _KINDS, repair, RecordingError)
        known["configs"] = {
            component: COMPONENTS[_COMPONENT.check(f"{owner}component", component, repair, RecordingError)].complete(config, path)
            for component, config in known["configs"].items()
        }
        extractor = known["feature_extractor_config"]
        known["feature_extractor_config"] = extractor | read_values(owner, extractor, FEATURE_EXTRACTOR, repair, RecordingError)
        folder = UnpackedFiles() if known["tokenizers"] else None
        for component, entries in known["tokenizers"].items():
            for name, entry in entries.items():
                if folder is None or component not in _ENCODERS or name not in _TOKENIZER_FILES or entry not in files:
                    raise RecordingError(f"{path}: the header's tokenizer must have files of the recording, got {entry!r}; {repair}")
                folder.add(f"{component}/{name}", files[entry])
        wordless = [each for each in _ENCODERS if each in known["configs"] and each not in {**known["tokenizers"], **known["pad_tokens"]}]
        if wordless:
            raise RecordingError(f"{path}: the header must have a tokenizer or a pad_token of {wordless[0]}, got neither; {repair}")
        tokens = {token: ids for of_one in known["embedding_ids"].values() for token, ids in of_one.items()}
        if wide := next((token for token, (start, stop) in tokens.items() if not 0 < stop - start <= _MOST_VECTORS), None):
            raise RecordingError(f"{owner}embedding {shown(wide)} must have 1 to {_MOST_VECTORS} vectors, got {tokens[wide]}; {repair}")
        embeddings = tuple(Embedding(token, np.zeros((stop - start, 1)), path) for token, (start, stop) in tokens.items())
        return cls(path, known["name"], embeddings, about=known, folder=folder)

    @property
    def own_components(self) -> tuple[ComponentName, ...]:
        """The components that it describes."""
        return tuple(component for component in COMPONENTS if component in self.about["configs"])

    def config(self, component: ComponentName) -> Mapping[str, Any]:
        """Return a component's configuration, as it was when the run was recorded."""
        if component not in self.own_components:
            raise MissingFileError(f"{self.path}: has no {component}; its components are {', '.join(self.own_components)}")
        return self.own_config(component)

    def own_config(self, component: ComponentName) -> dict[str, Any]:
        """Return a component's configuration, as it was when the run was recorded."""
        return dict(self.about["configs"][component])

    def own_tensors(self, component: ComponentName) -> ComponentTensors:
        """Refuse: a recording has no weights."""
        raise RecordingError(f"{self.path}: a recording has no weights of the {component}; pass the model itself to run it on a backend")

    def own_where(self, component: ComponentName) -> Path:  # noqa: ARG002 -- one file holds them all
        """Return the recording."""
        return self.path

    def embedding_ids(self, component: ComponentName) -> Mapping[str, range]:
        """Return the ids of each embedding's vectors in a text encoder, by its token."""
        return {token: range(*ids) for token, ids in self.about["embedding_ids"].get(component, {}).items()}

    @property
    def tokenizer_path(self) -> Path | None:
        """The tokenizer's folder of ``text_encoder``; None where the model brings none."""
        return self._tokenizer("text_encoder")

    @property
    def tokenizer_2_path(self) -> Path | None:
        """The tokenizer's folder of ``text_encoder_2``; None where the model brings none."""
        return self._tokenizer("text_encoder_2")

    def _tokenizer(self, component: str) -> Path | None:
        return self.folder.path / component if self.folder is not None and component in self.about["tokenizers"] else None

    @property
    def pad_tokens(self) -> Mapping[ComponentName, str]:
        """For each text encoder without a tokenizer's folder: what pads CLIP's own vocabulary."""
        return dict(self.about["pad_tokens"])

    @property
    def scheduler_config(self) -> Mapping[str, Any]:
        """The configuration of the model's own scheduler."""
        return from_json_values(self.about["scheduler_config"])

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The model's own preferences."""
        return dict(self.about["defaults"])

    @property
    def flags(self) -> PipelineFlags:
        """What the model says about its pipeline."""
        return PipelineFlags(force_zeros_for_empty_prompt=self.about["force_zeros_for_empty_prompt"])

    @property
    def feature_extractor_config(self) -> Mapping[str, Any]:
        """How the safety checker's pictures are prepared."""
        return dict(self.about["feature_extractor_config"])

    @property
    def limits(self) -> ModelLimits:
        """Sizes and lengths that its networks were fixed to."""
        sizes = tuple((height, width) for height, width in self.about["sizes"])
        return ModelLimits(sizes=sizes, num_tokens=self.about["num_tokens"], timestep_dtype=self.about["timestep_dtype"])
