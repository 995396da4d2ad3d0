"""The models that ship with sdrt: nano, and its companions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sdrt.errors import ConfigError
from sdrt.models.json_file import read_json
from sdrt.printable import shown

__all__ = ["EMBEDDED", "EmbeddedKind", "EmbeddedModel", "embedded", "is_embedded_lora", "path"]

EmbeddedKind = Literal["model", "in-painting model", "ControlNet", "LoRA", "VAE", "upscaler"]

# What to call instead, where one is passed as a model.
_USES: dict[EmbeddedKind, str] = {
    "ControlNet": "pass it as controlnet={name!r}",
    "LoRA": "pass it as loras=[{name!r}]",
    "VAE": "pass it as vae={name!r}, or as preview_vae={name!r}",
    "upscaler": "pass it to sdrt.load_upscaler({name!r})",
}

# Those that are one file.
_FILES: tuple[EmbeddedKind, ...] = ("LoRA", "upscaler")


@dataclass(frozen=True)
class EmbeddedModel:
    """One of them.

    Parameters
    ----------
    name : str
        Of its folder, too.
    kind : EmbeddedKind
    base : str or None
        The embedded model that it belongs to, whose components an in-painting model has beside its own U-Net.
    """

    name: str
    kind: EmbeddedKind
    base: str | None = None

    @property
    def folder(self) -> Path:
        """The folder that holds it alone."""
        return Path(__file__).parent / self.name

    @property
    def path(self) -> Path:
        """What a loader opens: the file of a LoRA or an upscaler, else the folder."""
        return self.folder / f"{self.name}.safetensors" if self.kind in _FILES else self.folder

    @property
    def description(self) -> str:
        """What it draws."""
        return str(read_json(self.folder / "sdrt.json")["description"])

    @property
    def guidance_scale(self) -> float | None:
        """The scale of guidance that it prefers to its base's; None where it has no preference."""
        return read_json(self.folder / "sdrt.json").get("guidance_scale")

    @property
    def weight_bytes(self) -> int:
        """The size of its own weights."""
        return sum(file.stat().st_size for file in self.folder.rglob("*.safetensors"))

    def check_is_model(self) -> None:
        """Refuse what has to be laid over a model.

        Raises
        ------
        ConfigError : it is a ControlNet, a LoRA, a VAE or an upscaler
        """
        if use := _USES.get(self.kind):
            article = "an" if self.kind == "upscaler" else "a"
            raise ConfigError(f"model must be a model, got {self.name!r}, {article} {self.kind}; {use.format(name=self.name)}")


EMBEDDED = {
    each.name: each
    for each in (
        EmbeddedModel("nano", "model"),
        EmbeddedModel("nano-inpaint", "in-painting model", "nano"),
        EmbeddedModel("nano-edges", "ControlNet", "nano"),
        EmbeddedModel("nano-outline", "LoRA", "nano"),
        EmbeddedModel("nano-quick", "VAE", "nano"),
        EmbeddedModel("nano-upscale", "upscaler", "nano"),
    )
}


def embedded() -> tuple[str, ...]:
    """Names of the models that ship with sdrt: ``"nano"`` first, then its companions."""
    return tuple(EMBEDDED)


def is_embedded_lora(name: str) -> bool:
    """Return whether a name is that of an embedded LoRA."""
    return name in EMBEDDED and EMBEDDED[name].kind == "LoRA"


def path(name: str) -> Path:
    """Return the folder of an embedded model, ControlNet or VAE, in diffusers' layout, or the file of an embedded LoRA or upscaler.

    ``nano-inpaint`` holds its U-Net alone; the other components are nano's.

    Raises
    ------
    ConfigError : no embedded model has this name

    >>> path("nano").name, path("nano-outline").name
    ('nano', 'nano-outline.safetensors')
    """
    if not isinstance(name, str) or name not in EMBEDDED:
        raise ConfigError(f"name must be that of an embedded model ({', '.join(EMBEDDED)}), got {shown(name)}; choose one of those")
    return EMBEDDED[name].path
