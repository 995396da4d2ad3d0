"""The networks that a backend is tried on: every kind of component, in each form that differs by more than numbers."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from sdrt.models import COMPONENTS, ComponentName, StoredModel, open_component, open_model
from sdrt.testing.small_models import FamilyName, write_controlnet, write_model
from sdrt.values import Choice

__all__ = ["CASES", "Case", "checked_components", "open_cases"]


@dataclass(frozen=True)
class Case:
    """One network.

    Parameters
    ----------
    family : str
        Of the small model.
    component : ComponentName
    union : bool
        Whether the ControlNet takes several sorts of pictures.
    """

    family: FamilyName
    component: ComponentName
    union: bool = False

    def __str__(self) -> str:
        return f"{self.family}'s {'union ' if self.union else ''}{self.component}"

    @property
    def denoises(self) -> bool:
        """Whether it takes a sample, a timestep and texts."""
        return self.component in ("unet", "controlnet")


CASES: tuple[Case, ...] = (
    Case("sd1", "text_encoder"),
    Case("sd2", "text_encoder"),
    Case("sdxl", "text_encoder_2"),
    Case("sd1", "unet"),
    Case("sd2", "unet"),
    Case("inpaint", "unet"),
    Case("lcm", "unet"),
    Case("sdxl", "unet"),
    Case("sdxl-refiner", "unet"),
    Case("sd1", "controlnet"),
    Case("sdxl", "controlnet"),
    Case("sdxl", "controlnet", union=True),
    Case("sd1", "vae_decoder"),
    Case("sd2", "vae_decoder"),
    Case("sd1", "vae_encoder"),
    Case("sd1", "safety_checker"),
)

_EXTRAS: tuple[ComponentName, ...] = ("controlnet", "safety_checker")


def checked_components(components: Iterable[str] | None) -> tuple[str, ...]:
    """Return the names of components to check, all of them where nothing is said.

    Raises
    ------
    ConfigError : a name that is no component's
    """
    if components is None:
        return tuple(COMPONENTS)
    kind = Choice(*COMPONENTS)
    return tuple(
        kind.check("components", each, "name some of those") for each in ([components] if isinstance(components, str) else components)
    )


def open_cases(folder: Path, cases: Collection[Case]) -> dict[Case, StoredModel]:
    """Write the models of these cases into a folder, and open them; no network is opened yet."""
    models: dict[FamilyName, StoredModel] = {}
    opened: dict[Case, StoredModel] = {}
    for case in cases:
        if case.union:
            opened[case] = open_component(write_controlnet(folder / f"{case.family}-union", case.family, union=True), "controlnet")
            continue
        if case.family not in models:
            wanted = {each.component for each in cases if each.family == case.family and not each.union}
            extras = tuple(each for each in _EXTRAS if each in wanted)
            models[case.family] = open_model(write_model(folder / case.family, case.family, extras=extras))
        opened[case] = models[case.family]
    return opened
