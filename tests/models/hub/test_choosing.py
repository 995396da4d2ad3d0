"""Which files are chosen, from names alone: packages by folder and role, single files by their names, weights as a folder is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt.errors import ConfigError, MissingFileError, ModelError
from sdrt.models.hub import HubFile, Listing, Needs, Wanted, in_words, parse_address
from sdrt.models.hub.choosing import choose_component, choose_model, choose_single_file
from sdrt.models.weight_files import find_weights, weight_names
from tests.hub_repository import apple_files

VERSION = "Stable_Diffusion_version_CompVis_stable-diffusion-v1-4"
LORA = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")


def listing(*paths: str) -> Listing:
    return Listing("someone/tiny", "0" * 40, tuple(HubFile(path, 1000, blob_id="0") for path in paths))


def chosen(paths: tuple[str, ...], **wanted: object) -> list[str]:
    return sorted(file.path for file in choose_model(listing(*paths), Wanted(**wanted)).files)  # type: ignore[arg-type]


def stems(paths: list[str]) -> set[str]:
    """The packages among paths, and what lies beside them."""
    parts = [path.split("/") for path in paths]
    return {"/".join(part[: 1 + next((k for k, name in enumerate(part) if "." in name))]) for part in parts}


APPLE = tuple(apple_files())


@pytest.mark.parametrize("variant", ["original/packages", "split_einsum/packages", "split_einsum_packages", "original/packages/"])
def test_packages_of_a_variant_are_chosen(variant: str) -> None:
    paths = chosen(APPLE, variant=variant)
    folder = variant.strip("/").replace("_packages", "/packages")
    roles = ("text_encoder", "unet", "vae_decoder", "safety_checker")
    assert stems(paths) == {f"{folder}/{VERSION}_{role}.mlpackage" for role in roles}
    assert len(paths) == 12  # three files each


def test_compiled_packages_have_their_vocabulary_and_no_archive() -> None:
    folder = "split_einsum/compiled"
    resources = {"TextEncoder.mlmodelc", "Unet.mlmodelc", "VAEDecoder.mlmodelc", "vocab.json", "merges.txt"}
    found = chosen(APPLE, variant=folder, needs=Needs(without=frozenset({"safety_checker"})))
    assert stems(found) == {f"{folder}/{name}" for name in resources}


def test_of_several_folders_the_original_packages_are_taken_and_told() -> None:
    choice = choose_model(listing(*APPLE), Wanted())
    assert choice.place == "original/packages"
    assert choice.remarks["chosen packages"].startswith("original/packages, of original/packages (12.0 kB), original/compiled (18.0 kB)")
    only = [path for path in APPLE if path.startswith("split_einsum/")]
    assert choose_model(listing(*only), Wanted()).place == "split_einsum/packages"
    assert not choose_model(listing(*(path for path in only if "/compiled/" in path)), Wanted()).remarks


def test_a_variant_that_is_none_is_told_with_those_that_are() -> None:
    with pytest.raises(MissingFileError, match=r"no packages of variant 'fp16'; pass one of original/packages \(12\.0 kB\), original/comp"):
        chosen(APPLE, variant="fp16")


def package(name: str) -> tuple[str, str]:
    return f"{name}/Manifest.json", f"{name}/Data/model.mlmodel"


CHUNKED = tuple(
    path
    for stem in ("text_encoder", "unet", "unet_chunk1", "unet_chunk2", "control-unet", "refiner", "vae_decoder", "vae_encoder")
    for path in package(f"{VERSION}_{stem}.mlpackage")
)


def test_halves_go_before_the_whole_and_a_refiner_and_controlled_units_are_fetched_where_wanted() -> None:
    paths = (*CHUNKED, *package("ControlNet_me_edges.mlpackage"), *package("ControlNet_me_depth.mlpackage"), "sdrt.json")
    common = {"text_encoder", "unet_chunk1", "unet_chunk2", "vae_decoder", "vae_encoder"}
    plain = {f"{VERSION}_{stem}.mlpackage" for stem in common} | {"sdrt.json"}
    assert stems(chosen(paths, needs=Needs(controlnets=(), refiner=False))) == plain
    controlled = {f"{VERSION}_control-unet.mlpackage", "ControlNet_me_edges.mlpackage"}
    for name in ("me/edges", "ControlNet_me_edges", "me_edges"):
        assert stems(chosen(paths, needs=Needs(controlnets=(name,), refiner=False))) == plain | controlled
    refined = plain | {f"{VERSION}_refiner.mlpackage"}
    assert stems(chosen(paths, needs=Needs(controlnets=()))) == refined
    assert stems(chosen(paths)) == refined | controlled | {"ControlNet_me_depth.mlpackage"}


def test_a_controlnet_that_is_not_there_is_told_before_anything_is_fetched() -> None:
    paths = (*CHUNKED, *package("ControlNet_me_edges.mlpackage"))
    with pytest.raises(ConfigError, match=r"controlnet must be one of its own \(me_edges\) or the path of a package, got 'depth'"):
        chosen(paths, needs=Needs(controlnets=("depth",)))
    assert chosen(paths, needs=Needs(controlnets=("elsewhere/depth.mlpackage",)))


def test_a_broken_folder_harms_no_other() -> None:
    """What is wrong with packages is said where they are opened."""
    half = package("split/packages/Stable_Diffusion_version_me_unet_chunk1.mlpackage")
    whole = tuple(f"original/packages/{path}" for path in CHUNKED)
    assert set(stems(chosen((*half, *whole)))) <= {path.partition(".mlpackage")[0] + ".mlpackage" for path in whole}
    assert chosen((*half, *whole), variant="split/packages") == sorted(half)


def test_controlnets_of_a_resources_folder_lie_one_folder_deeper() -> None:
    folder = "original/compiled"
    paths = [f"{folder}/{name}.mlmodelc/model.mil" for name in ("TextEncoder", "Unet", "ControlledUnet", "VAEDecoder")]
    paths += [f"{folder}/controlnet/{name}.mlmodelc/model.mil" for name in ("MeEdges", "MeDepth")]
    found = chosen(tuple(paths), needs=Needs(controlnets=("me/edges",)))
    assert set(found) == set(paths) - {f"{folder}/controlnet/MeDepth.mlmodelc/model.mil"}


def test_weights_go_before_packages_unless_those_are_wanted() -> None:
    both = ("unet/config.json", "unet/diffusion_pytorch_model.safetensors", *CHUNKED)
    assert chosen(both) == ["unet/config.json", "unet/diffusion_pytorch_model.safetensors"]
    assert stems(chosen(both, needs=Needs(packages=True))) == stems(chosen(CHUNKED))


@pytest.mark.parametrize(
    ("paths", "want"),
    [
        (("a.safetensors", "pytorch_lora_weights.safetensors", "b.safetensors"), ["pytorch_lora_weights.safetensors"]),
        (("style.safetensors", "README.md", "style.png"), ["style.safetensors"]),
        (("adapter_model.safetensors", "adapter_config.json", "x.json"), ["adapter_config.json", "adapter_model.safetensors"]),
    ],
)
def test_the_file_of_a_lora_is_found(paths: tuple[str, ...], want: list[str]) -> None:
    choice = choose_single_file(listing(*paths), Wanted(), "a LoRA", LORA)
    assert sorted(file.path for file in choice.files) == want
    assert choice.place in want


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (
            ("a.safetensors", "b.safetensors"),
            r"several files that may be a LoRA; name one: someone/tiny::a\.safetensors \(1\.0 kB\), someone",
        ),
        (("a.bin",), r"a\.bin would have to be unpickled, which can run code: convert it to safetensors$"),
        (("x/a.safetensors", "README.md"), r"nothing that may be a LoRA; name one of its files: someone/tiny::x/a\.safetensors"),
        (("README.md",), r"nothing that may be a LoRA; check the name"),
        ((), r"nothing that may be a LoRA; check the name"),
    ],
)
def test_a_repository_without_one_lora_says_what_it_holds(paths: tuple[str, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        choose_single_file(listing(*paths), Wanted(), "a LoRA", LORA)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (
            ("model_index.json", "transformer/config.json", "vae/config.json", "flux.safetensors"),
            r"has no unet/ \(found: transformer, vae\)",
        ),
        (
            ("config.json", "diffusion_pytorch_model.safetensors"),
            "is one component by its config.json, not a model; pass it, or this as",
        ),
        (("README.md",), "holds nothing that may be a checkpoint; check the name"),
        (("v1-5.ckpt",), r"v1-5\.ckpt would have to be unpickled.* with pickled='weights_only'"),
    ],
)
def test_what_is_no_model_is_told_before_anything_is_fetched(paths: tuple[str, ...], message: str) -> None:
    with pytest.raises(ModelError, match=f"^someone/tiny: {message}"):
        chosen(paths)


def test_a_component_brings_its_preferences() -> None:
    paths = ("config.json", "sdrt.json", "diffusion_pytorch_model.safetensors", "README.md")
    assert {file.path for file in choose_component(listing(*paths), "controlnet", Wanted()).files} == set(paths) - {"README.md"}


def test_an_image_encoder_is_found_in_a_repository_of_adapters() -> None:
    own = [f"models/image_encoder/{name}" for name in ("config.json", "model.safetensors", "preprocessor_config.json")]
    others = ["models/ip-adapter_sd15.safetensors", "models/image_encoder/pytorch_model.bin", "sdxl_models/image_encoder/config.json"]
    assert {file.path for file in choose_component(listing(*own, *others), "image_encoder", Wanted()).files} == set(own)


STEMS = ("model", "diffusion_pytorch_model", "pytorch_model")
FORMS = ("{0}{1}.safetensors", "{0}{1}.bin", "{0}.safetensors.index{1}.json", "{0}{1}.safetensors.index.json", "{0}.bin.index{1}.json")


@given(
    names=st.sets(st.sampled_from([form.format(stem, infix) for form in FORMS for stem in STEMS for infix in ("", ".fp16", ".ema")])),
    variant=st.sampled_from([None, "fp16", "ema"]),
    pickled=st.sampled_from(["refuse", "weights_only"]),
)
def test_what_is_chosen_is_what_a_folder_is_read_by(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], variant: str | None, pickled: str
) -> None:
    """Shards take part with the index alone: `find_weights` reads their names in it, and here they are known by their form."""
    folder = tmp_path_factory.mktemp("component")
    for name in sorted(names):
        stem = name.partition(".")[0]
        if "index" in name:
            # of a variant, the shards have it behind their number
            infix = next((f".{each}" for each in ("fp16", "ema") if f".{each}" in name), "")
            suffix = "bin" if ".bin." in name else "safetensors"
            shard = f"{stem}-00001-of-00001{infix}.{suffix}"
            (folder / shard).touch()
            (folder / name).write_text(json.dumps({"weight_map": {"x": shard}}))
        else:
            (folder / name).touch()
    there = [file.name for file in folder.iterdir()]
    found = weight_names(there, variant, pickled)  # type: ignore[arg-type]
    try:
        want = find_weights(folder, variant, pickled)  # type: ignore[arg-type]
    except MissingFileError:
        assert found == ()
        return
    assert {file.name for file in want.files} == {name for name in found if not name.endswith(".json")}


@given(st.text("ab0/.@:-_ \\", max_size=20))
def test_whatever_is_typed_is_an_address_or_none(text: str) -> None:
    address = parse_address(text)
    assert address is None or str(address) == text


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "a\\b", "C:x", "", "a\0b"])
def test_paths_that_lead_out_of_a_repository_are_refused(path: str) -> None:
    with pytest.raises(ModelError, match="is not a path in a repository"):
        HubFile(path, 1)


@given(st.integers(0, 10**15))
def test_sizes_in_words_are_right_to_a_tenth(size: int) -> None:
    number, _, unit = in_words(size).partition(" ")
    factor = {"byte": 1, "bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
    assert abs(float(number) * factor - size) <= 0.05 * factor * (1 + 1e-9)
    assert float(number) < 1000 or unit == "TB"
