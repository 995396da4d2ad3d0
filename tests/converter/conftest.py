"""Random models of every form, converted once per run; tests must not change them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converter.conversion import convert
from converter.options import ConvertOptions
from converter.report import Report
from tests.converter.kinds import KINDS
from tests.factories import (
    CONTROLNETS,
    UNETS,
    Form,
    random_controlnet,
    random_unet,
    save_pipeline_folder,
)

# Two levels instead of four, one layer each: every operation takes time to convert, and forms do not differ in repeated ones.
_SHALLOW: dict[str, Any] = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "layers_per_block": 1,
}
_SHALLOW_XL: dict[str, Any] = {
    **_SHALLOW,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "transformer_layers_per_block": (1, 2),
    "attention_head_dim": (2, 4),
}
# These two differ from sd1 in what goes in alone.
_NO_MIDDLE: dict[str, Any] = {"mid_block_type": "UNetMidBlock2D"}


def _shallow(form: Form, unet: bool) -> dict[str, Any]:
    config = _SHALLOW_XL if form in ("sdxl", "sdxl-refiner") else _SHALLOW
    up = {"up_block_types": [kind.replace("Down", "Up") for kind in reversed(config["down_block_types"])]} if unet else {}
    heads = {"attention_head_dim": (1, 2)} if form == "sd2" else {}
    return {**config, **up, **heads, **(_NO_MIDDLE if form in ("inpaint", "lcm") else {})}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Form], Path]:
    """Return a function that makes the folder of a model of a form, with a shallow U-Net."""
    made: dict[Form, Path] = {}

    def make(form: Form) -> Path:
        if form not in made:
            folder = save_pipeline_folder(tmp_path_factory.mktemp("source") / f"tiny-{form}", form, safety_checker=form == "sd1")
            random_unet({**UNETS[form], **_shallow(form, True)}, seed=1).save_pretrained(folder / "unet")
            made[form] = folder
        return made[form]

    return make


@pytest.fixture(scope="session")
def controlnet_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Form], Path]:
    """Return the same for a ControlNet, whose image has blue first, so that swapped channels show."""
    made: dict[Form, Path] = {}

    def make(form: Form) -> Path:
        if form not in made:
            made[form] = tmp_path_factory.mktemp("control") / f"canny-{form}"
            config = {**CONTROLNETS[form], **_shallow(form, False), "controlnet_conditioning_channel_order": "bgr"}
            random_controlnet(config, seed=6).save_pretrained(made[form])
        return made[form]

    return make


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Report]:
    """Return a function that converts, once for equal options, without comparing: the tests do that."""
    made: dict[Any, Report] = {}

    def make(model: Path, **options: Any) -> Report:
        key = (model, tuple(sorted(options.items())))
        if key not in made:
            made[key] = convert(ConvertOptions(model=str(model), out=tmp_path_factory.mktemp("out"), check=False, **options))
        return made[key]

    return make


@pytest.fixture
def packages(
    model_folder: Callable[[Form], Path], controlnet_folder: Callable[[Form], Path], converted: Callable[..., Report]
) -> Callable[[str, Form], Path]:
    """Return a function that gives the package of one of the document's kinds."""

    def package(kind: str, form: Form) -> Path:
        options = next(options for each, of, options in KINDS if (each, of) == (kind, form))
        role = kind.split(" ")[0]
        if role in ("controlnet", "control_unet"):
            options = {**options, "controlnets": (str(controlnet_folder(form)),)}
        if role == "refiner":
            options = {**options, "refiner": str(model_folder("sdxl-refiner"))}
        report = converted(model_folder(form), **options)
        return next(outcome.packages[0] for outcome in report.outcomes if outcome.role == role)

    return package
