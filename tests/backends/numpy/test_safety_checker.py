"""The safety checker against diffusers' own."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sdrt.arrays import Numerics
from tests.backends.numpy.reference import BOUNDS, NUMERICS, change_config, open_network, part_folder, relative_error, torch_safety_checker
from tests.factories import SAFETY_CHECKER, normal, random_safety_checker


@pytest.mark.parametrize("numerics", NUMERICS)
@pytest.mark.parametrize("changes", [{}, {"image_size": 30}, {"hidden_act": "gelu", "num_channels": 1}])
def test_agrees_with_diffusers(tmp_path: Path, numerics: Numerics, changes: dict[str, object]) -> None:
    """Both kinds of scores, also where pixels are left over beside the last patch."""
    vision = SAFETY_CHECKER["vision_config"] | changes
    checker = random_safety_checker({**SAFETY_CHECKER, "vision_config": vision})
    network = open_network(part_folder(tmp_path, "safety_checker", checker), "safety_checker", numerics)
    reference = torch_safety_checker(checker, numerics)
    for n in (1, 3):
        pictures = normal(n, n, vision.get("num_channels", 3), vision["image_size"], vision["image_size"], dtype=numerics)
        wanted, found = reference(pictures), network(clip_input=pictures)
        assert found.keys() == wanted.keys()
        for name in wanted:
            assert found[name].dtype == numerics
            assert relative_error(found[name], wanted[name]) < BOUNDS[numerics], name


def test_what_diffusers_decides_follows_from_the_scores(tmp_path: Path) -> None:
    """Without the adjustment for special care, a picture is refused where a rounded concept score is above 0."""
    checker = random_safety_checker()
    pictures = normal(1, 6, 3, 28, 28)
    scores = open_network(part_folder(tmp_path, "safety_checker", checker), "safety_checker")(clip_input=pictures)
    # thresholds that leave some pictures on either side, and no special concept
    worst = np.sort(scores["concept_scores"].max(axis=1))
    checker.concept_embeds_weights += float(worst[2] + worst[3]) / 2
    checker.special_care_embeds_weights += 10
    network = open_network(part_folder(tmp_path / "second", "safety_checker", checker), "safety_checker")
    import torch

    _, refused = checker(torch.from_numpy(pictures), np.zeros((6, 2, 2, 3)))
    found = np.round(network(clip_input=pictures)["concept_scores"], 3).max(axis=1) > 0
    assert list(found) == refused
    assert 0 < sum(refused) < 6


def test_names_of_transformers_4(tmp_path: Path) -> None:
    """Weights below `vision_model.vision_model.`, and the key `vision_config_dict`, are the same tower."""
    checker = random_safety_checker()
    folder = part_folder(tmp_path, "safety_checker", checker)
    file = folder / "safety_checker" / "model.safetensors"
    plain = {name.replace("vision_model.vision_model.", "vision_model."): x for name, x in load_file(file).items()}
    pictures, results = normal(0, 2, 3, 28, 28), []
    for prefix in ("vision_model.", "vision_model.vision_model."):
        save_file({name.replace("vision_model.", prefix, 1): x for name, x in plain.items()}, file)
        results.append(open_network(folder, "safety_checker")(clip_input=pictures)["concept_scores"])
        change_config(folder, "safety_checker", vision_config={}, vision_config_dict=SAFETY_CHECKER["vision_config"])
    assert np.array_equal(results[0], results[1])


def test_every_row_stands_alone(tmp_path: Path) -> None:
    """A change of one picture moves its scores and nobody else's."""
    network = open_network(part_folder(tmp_path, "safety_checker", random_safety_checker()), "safety_checker", "float64")
    pictures = normal(0, 2, 3, 28, 28, dtype="float64")
    before = network(clip_input=pictures)
    pictures[1] += normal(1, 3, 28, 28, dtype="float64")
    after = network(clip_input=pictures)
    for name in before:
        assert relative_error(after[name][:1], before[name][:1]) < 1e-12
        assert relative_error(after[name][1:], before[name][1:]) > 1e-2
