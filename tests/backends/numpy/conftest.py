"""Whole random models, written once a run."""

from pathlib import Path

import pytest
import torch

from sdrt.models import COMPONENTS
from tests.backends.numpy.reference import IP_ADAPTER, UPSCALER, part_folder
from tests.factories import (
    CONTROLNETS,
    UNETS,
    Form,
    random_controlnet,
    random_safety_checker,
    random_unet,
    save_pipeline_folder,
    save_t2i_adapter_folder,
)
from tests.image_prompts import adapter_tensors, save_adapter, save_encoder
from tests.upscalers import save_upscaler

# The models are tiny: torch's own threads would only wait for each other.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Form, Path]:
    """A model folder in each form; tests must not write there."""
    root = tmp_path_factory.mktemp("models")
    made = {form: save_pipeline_folder(root / form, form) for form in UNETS}
    for form, folder in made.items():
        if form in CONTROLNETS:
            part_folder(folder, "controlnet", random_controlnet(CONTROLNETS[form], seed=6))
        part_folder(folder, "safety_checker", random_safety_checker(seed=4))
        save_upscaler(folder / UPSCALER)
        save_t2i_adapter_folder(folder / COMPONENTS["t2i_adapter"].folder, "full")
        save_encoder(folder / COMPONENTS["image_encoder"].folder)
        save_adapter(folder / IP_ADAPTER, adapter_tensors(random_unet(UNETS[form]), "plain"))
    return made
