"""``sdrt generate --from picture.png``: the record inside a picture becomes the call that draws it again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sdrt.cli.opening import ModelChoice
from sdrt.errors import ConfigError
from sdrt.log import log
from sdrt.printable import shown
from sdrt.records.since import TOPIC
from sdrt.records.upscaled import UPSCALED

if TYPE_CHECKING:
    from sdrt.records import Settings

__all__ = ["Recorded"]


# What must be the same for the picture to be the same, and no option of the call says.
_OF_THE_PIPELINE = (
    "version",
    "model",
    "backend",
    "numerics",
    "embeddings",
    "loras",
    "vae_tiling",
    "safety_checker",
    "flagged_pictures",
    "remarks",
    "weights",
)


@dataclass(frozen=True)
class Recorded:
    """The record of a picture.

    Parameters
    ----------
    file : Path
    settings : Settings
    index : int or None
        Which image of the call the picture is, where all of them drew from one stream; None: the record is of this picture alone.
    """

    file: Path
    settings: "Settings"
    index: int | None

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read the record inside a picture.

        Raises
        ------
        ImageError, ConfigError : as ``Settings.from_file``
        """
        from sdrt.records import Settings, read_record

        record = read_record(file)
        return cls(file, Settings.from_dict(record), record.get("image"))

    @property
    def prompt(self) -> str | tuple[str, ...]:
        """The prompt, or one for each image of the call."""
        return self.settings.prompts or self.settings.prompt

    @property
    def negative_prompt(self) -> str | tuple[str, ...]:
        """The negative prompt, or one for each image of the call."""
        return self.settings.negative_prompts or self.settings.negative_prompt

    def choice(self, given: ModelChoice) -> ModelChoice:
        """Return the choice of model and backends, the record's where the command line says nothing.

        Raises
        ------
        ConfigError : a model that is known by its name alone
        """
        settings = self.settings
        if given.model is None and not _can_be_opened(settings.model):
            raise ConfigError(
                f"{self.file}: its record names the model {shown(settings.model)} and not where it lies; "
                "pass --model with its folder or file"
            )
        loading: dict[str, Any] = {name: True for name in ("vae_tiling", "safety_checker") if getattr(settings, name)}
        if settings.safety_checker:
            loading["flagged_pictures"] = settings.flagged_pictures
        return replace(
            given,
            model=_exactly(settings) if given.model is None and "revision" not in given.options else given.model or settings.model,
            backend=dict(settings.backend) if given.backend is None else given.backend,
            numerics=settings.numerics if given.numerics is None else given.numerics,
            options=loading | given.options,
        )

    def options(self, pictures: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of the call, the record's where the command line says nothing; prompts apart.

        Raises
        ------
        ConfigError : as ``Settings.options``
        """
        options = self.settings.options(**pictures)
        for prompt in ("prompt", "negative_prompt"):
            del options[prompt]
        if "scheduler" in given:
            # what was set on the recorded scheduler is not for another one
            for name in ("eta", "compat"):
                options.pop(name)
        if "seed" in given:
            # noise of another seed does not come from where a stream stood, and a second stream's seed goes with the first
            options |= {"rng": self.settings.rng, "sampler_rng": self.settings.sampler_rng, "sampler_seed": None}
        return options | dict(given)

    def tell_differences(self, now: "Settings") -> None:
        """Say on standard error what is not as it was when the picture was drawn."""
        for topic, text in self.settings.remarks.items():
            if topic.startswith(TOPIC):
                log.warning("%s may be drawn otherwise than it was: %s", self.file, text)
        if UPSCALED in self.settings.remarks:
            log.warning("%s was enlarged: %s", self.file, self.settings.remarks[UPSCALED])
        for name in _OF_THE_PIPELINE:
            then, here = getattr(self.settings, name), getattr(now, name)
            if name == "remarks":
                # a remark that only one side has may come from a prompt, or from a network that is not open yet
                then, here = ({key: side[key] for key in side if key in then and key in here} for side in (then, here))
            # records of 0.1.0 do not tell weights apart
            if then != here and (then or name != "weights"):
                if isinstance(then, Mapping) and isinstance(here, Mapping):
                    same = {key for key in then if key in here and then[key] == here[key]}
                    then, here = ({key: each for key, each in side.items() if key not in same} for side in (then, here))
                log.warning("%s was drawn with %s %s, and this is %s: the picture may differ", self.file, name, _text(then), _text(here))


def _can_be_opened(model: str) -> bool:
    from sdrt.models import embedded

    return model in embedded() or "/" in model or Path(model).exists()


def _exactly(settings: "Settings") -> str:
    """Return what opens the recorded model: of a repository, the commit that drew the picture."""
    from sdrt.models.hub import means_repository, parse_address

    address = parse_address(settings.model) if settings.revision and means_repository(settings.model) else None
    return settings.model if address is None else str(replace(address, revision=settings.revision))


def _text(value: object) -> str:
    return ", ".join(f"{key}={each}" for key, each in value.items()) or "none" if isinstance(value, Mapping) else str(value)
