"""Small models of every family."""

from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from sdrt.models import ComponentName
from sdrt.testing.small_models import FAMILIES, FamilyName, write_model

__all__ = ["SmallModel", "small_models"]


@dataclass(frozen=True)
class SmallModel:
    """A small model that has not been written yet: a drawn value that is cheap to draw, to show and to shrink.

    Parameters
    ----------
    family : str
    seed : int
        Of its tensors.
    extras : tuple of str
    """

    family: FamilyName
    seed: int
    extras: tuple[ComponentName, ...] = ()

    def write(self, folder: str | Path) -> Path:
        """Write it below a folder, under a name of its own; one that is there already stays as it is."""
        path = Path(folder) / "-".join([self.family, str(self.seed), *self.extras])
        return path if (path / "model_index.json").is_file() else write_model(path, self.family, seed=self.seed, extras=self.extras)


def small_models(*families: FamilyName) -> st.SearchStrategy[SmallModel]:
    """Draw a small model of one of these families, of any if none is named."""

    def of(family: FamilyName) -> st.SearchStrategy[SmallModel]:
        checked: list[tuple[ComponentName, ...]] = [()] if family.startswith("sdxl") else [(), ("safety_checker",)]
        return st.builds(SmallModel, st.just(family), st.integers(0, 3), st.sampled_from(checked))

    return st.sampled_from(families or FAMILIES).flatmap(of)
