"""The table of components: whole, and the one place where each is described."""

import inspect
from typing import get_args

import diffusers
import pytest
from diffusers.models import embeddings
from transformers import CLIPTextConfig, CLIPVisionConfig

from sdrt.models.components import COMPONENTS, ComponentName, Role
from sdrt.models.coreml.names import RESOURCES, SUFFIXES


def test_the_table_has_every_component_once() -> None:
    assert tuple(COMPONENTS) == get_args(ComponentName)
    assert all(component.name == name for name, component in COMPONENTS.items())


def test_every_role_of_a_package_is_some_components() -> None:
    roles = [package.role for component in COMPONENTS.values() for package in component.packages]
    assert len(set(roles)) == len(roles)
    assert set(roles) == SUFFIXES.keys() == RESOURCES.keys() == set(get_args(Role)) - {"controlnet"}


@pytest.mark.parametrize(
    ("name", "class_name"),
    [(name, COMPONENTS[name].classes[0]) for name in ("unet", "controlnet", "vae_decoder", "vae_encoder")]
    + [("controlnet", "ControlNetUnionModel")],
)
def test_defaults_are_those_of_the_peers_class(name: ComponentName, class_name: str) -> None:
    # without the width of an embedded sort, diffusers builds no union
    stated = {"_class_name": class_name, "addition_time_embed_dim": 256} if class_name == "ControlNetUnionModel" else {}
    peer = {
        key: list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        for key, parameter in inspect.signature(getattr(diffusers, class_name)).parameters.items()
    }
    ours = COMPONENTS[name].complete(stated)
    assert len(ours) > 15
    ours = {key: value for key, value in ours.items() if key not in stated}
    assert ours == {key: peer[key] for key in ours}


@pytest.mark.parametrize("name", ["text_encoder", "text_encoder_2"])
def test_defaults_of_text_encoders_are_those_of_the_peers_configuration(name: ComponentName) -> None:
    peer, ours = CLIPTextConfig().to_dict(), COMPONENTS[name].complete({})
    assert ours == {key: peer[key] for key in ours}


def test_defaults_of_the_image_encoder_and_its_projections_are_those_of_the_peers() -> None:
    tower, ours = CLIPVisionConfig().to_dict(), COMPONENTS["image_encoder"].complete({})
    assert ours == {key: tower[key] for key in ours}
    for name in COMPONENTS["image_projection"].classes:
        peer = inspect.signature(getattr(embeddings, name)).parameters
        ours = COMPONENTS["image_projection"].complete({"_class_name": name})
        assert ours == {"_class_name": name, **{key: parameter.default for key, parameter in peer.items()}}


def test_defaults_of_the_safety_checkers_tower_are_those_of_the_peers_configuration() -> None:
    peer, ours = CLIPVisionConfig().to_dict(), COMPONENTS["safety_checker"].complete({})["vision_config"]
    assert ours == {key: peer[key] for key in ours}
