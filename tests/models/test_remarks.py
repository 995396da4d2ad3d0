"""What models say of themselves: remarks of their own and of what stands in for their components, and the limits of what they read."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sdrt.errors import ModelError
from sdrt.limits import Limits
from sdrt.models import ModelFolder, open_component, open_model, path


@dataclass(frozen=True)
class _Remarked(ModelFolder):
    """The embedded model with something to say."""

    said: str = ""

    @property
    def own_remarks(self) -> dict[str, str]:
        return {f"about {self.said}": self.said}


def test_remarks_are_those_of_the_model_and_of_its_overrides() -> None:
    first, second = (_Remarked(path("nano"), "nano", said=said) for said in ("one", "two"))
    assert first.remarks == {"about one": "one"}
    assert first.with_override(second).remarks == {"about one": "one", "about two": "two"}
    assert open_model("nano").remarks == {}


@pytest.mark.parametrize(
    ("named", "told"), [(["diffusers", "EulerDiscreteScheduler"], True), ([None, None], False), ([], False), (3, False)]
)
def test_two_schedulers_in_one_folder_are_said(tmp_path: Path, named: object, told: bool) -> None:
    """diffusers builds the one that ``model_index.json`` names."""
    folder = shutil.copytree(path("nano"), tmp_path / "model")
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    (folder / "model_index.json").write_text(json.dumps(index | {"scheduler": named}), encoding="utf-8")
    own = open_model(folder).scheduler_config["_class_name"]
    text = f"scheduler_config.json says '{own}', which is used, and model_index.json 'EulerDiscreteScheduler'"
    assert open_model(folder).remarks == ({"scheduler class": text} if told else {})


def test_limits_travel_to_every_json_file_that_a_model_reads() -> None:
    tight = Limits(json_bytes=100)
    model = open_model(path("nano"), limits=tight)
    assert model.allowed is tight
    for read in (lambda: model.config("unet"), lambda: model.scheduler_config, lambda: model.defaults, lambda: model.flags):
        with pytest.raises(ModelError, match=r"json: .* must be at most 100, got \d+; raise it with sdrt.load\(limits=.*json_bytes="):
            read()
    with pytest.raises(ModelError, match="json_bytes"):
        open_component(Path(path("nano")) / "vae", "vae_decoder", limits=tight)
    assert replace(model, allowed=Limits()).config("unet")["in_channels"] == 4
