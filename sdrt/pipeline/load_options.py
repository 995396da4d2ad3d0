"""What each option of ``sdrt.load`` may be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from sdrt.limits import Limits
from sdrt.models import Embedding, Pickled, PredictionType
from sdrt.option_kinds import NUMERICS
from sdrt.pipeline.loras import LORAS
from sdrt.pipeline.safety_checker import FlaggedPictures
from sdrt.values import (
    Anything,
    Choice,
    Either,
    FilePath,
    Flag,
    Function,
    Instance,
    Integer,
    Kind,
    ListOf,
    MappingOf,
    Nullable,
    RefusedError,
    Text,
)

__all__ = ["LOAD_OPTIONS"]


class _Place(Kind[str | Path]):
    """A path, or a name that means a model: text stays text, which may be the name of an embedded model or of a repository."""

    def describe(self) -> str:
        return "a name or a path"

    def convert(self, value: object) -> str | Path:
        path = FilePath().convert(value)
        if value == "":
            raise RefusedError
        return str(value) if isinstance(value, str) else path


class _Folder(FilePath):
    """A path that is not empty, which would mean the current folder."""

    def convert(self, value: object) -> Path:
        if value == "":
            raise RefusedError
        return super().convert(value)


class _Model(_Place):
    """The same, or a recording, which is a model by itself."""

    def convert(self, value: object) -> Any:
        if isinstance(value, str | Path):
            return super().convert(value)
        from sdrt.recordings import Recording  # its reader takes time to import, and few models are recordings

        return value if isinstance(value, Recording) else super().convert(value)


_PLACE = _Place()
_NAME = Text(length=200, empty=False)

LOAD_OPTIONS: Mapping[str, Kind[Any]] = {
    "model": _Model(),
    "numerics": NUMERICS,
    "embeddings": Nullable(Either(MappingOf(_PLACE), ListOf(Either(_PLACE, Instance(Embedding))))),
    "controlnet": Nullable(Either(_PLACE, ListOf(_PLACE))),
    "t2i_adapter": Nullable(Either(_PLACE, ListOf(_PLACE))),
    "ip_adapter": Nullable(Either(_PLACE, ListOf(_PLACE))),
    "image_encoder": Nullable(_PLACE),
    "loras": Nullable(LORAS),
    "lora_dir": Nullable(_Folder()),
    "refiner": Nullable(_PLACE),
    "vae": Nullable(_PLACE),
    "preview_vae": Nullable(_PLACE),
    "variant": Nullable(Text(length=100, empty=False)),
    "prediction_type": Nullable(Choice(*get_args(PredictionType))),
    "pickled": Choice(*get_args(Pickled)),
    "cache_dir": Nullable(_Folder()),
    # HubAccess checks it, without showing it
    "token": Anything(),
    "revision": Nullable(_NAME),
    "on_download": Nullable(Function()),
    "reduce_memory": Flag(),
    "vae_tiling": Nullable(Flag()),
    "safety_checker": Flag(),
    "flagged_pictures": Choice(*get_args(FlaggedPictures)),
    "tokenizer": Nullable(_PLACE),
    "config": Nullable(Either(_PLACE, MappingOf(Anything()))),
    "limits": Instance(Limits),
    "mmap": Flag(),
    "threads": Nullable(Integer(minimum=1)),
}
