"""Image to image and in-painting on OpenVINO: the pictures of the numpy backend."""

from typing import Any

import numpy as np
import pytest

import sdrt
from tests.factories import Form, save_pipeline_folder
from tests.peers import drawn, mask, picture
from tests.pictures import psnr

pytest.importorskip("openvino", reason="openvino is not installed: pip install 'sdrt[openvino]'")

QUICK: dict[str, Any] = {
    "num_inference_steps": 3,
    "guidance_scale": 5.0,
    "scheduler": "euler a",
    "image": picture(1, 64),
    "strength": 0.7,
}
IN_PAINTING: dict[str, Any] = {"mask_image": mask(64), "paste": False}


@pytest.mark.slow  # each network is converted and compiled
@pytest.mark.parametrize(("form", "jobs"), [("sd1", [{}, IN_PAINTING]), ("inpaint", [IN_PAINTING])])
def test_pictures_are_changed_as_on_numpy(form: Form, jobs: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = save_pipeline_folder(tmp_path_factory.mktemp("openvino") / form, form)
    # nothing is kept in the user's own cache
    with sdrt.load(folder, "openvino", cache_dir=None) as pipe, sdrt.load(folder, threads=1) as plain:
        for job in jobs:
            [want], _ = drawn(plain, **QUICK, **job)
            [got], _ = drawn(pipe, **QUICK, **job)
            assert psnr(got, want) >= 60
            [other], _ = drawn(plain, **{**QUICK, "image": np.asarray(picture(2, 64))}, **job)
            assert psnr(got, other) < 40
