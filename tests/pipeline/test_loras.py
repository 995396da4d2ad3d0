"""LoRAs of a pipeline: the pictures of diffusers' `load_lora_weights`, and what the base model drew when they are taken away."""

import json
import threading
import warnings
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import sdrt
from sdrt.backends import PLAIN
from sdrt.errors import ConfigError, MissingFileError, ModelError, WeightsError
from sdrt.images.png import read_text
from sdrt.models import Model, open_model
from sdrt.models.lora import AppliedLora, open_lora, with_loras
from tests.factories import Form, save_pipeline_folder
from tests.fake_backend import FakeBackend
from tests.pictures import psnr

PROMPT, NEGATIVE = "a red circle on a blue background", "a blurry circle"
SETTINGS: dict[str, Any] = {"num_inference_steps": 2, "guidance_scale": 4.0, "height": 32, "width": 40}
UNET = (".to_q.weight", ".to_k.weight", ".to_v.weight", ".to_out.0.weight", ".conv1.weight", ".proj_in.weight")
TEXT = ("q_proj.weight", "k_proj.weight", "v_proj.weight", "out_proj.weight", "fc1.weight")


def random_lora(
    model: Model, seed: int, components: tuple[str, ...] = ("unet", "text_encoder", "text_encoder_2")
) -> dict[str, torch.Tensor]:
    """Factors for matrices and convolutions of every network, under kohya's names."""
    generator = torch.Generator().manual_seed(seed)
    prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_text_model_"}
    prefixes["text_encoder"] = "lora_te1_text_model_" if "text_encoder_2" in model.components else "lora_te_text_model_"
    tensors: dict[str, torch.Tensor] = {}
    for component in components:
        if component not in model.components:
            continue
        weights = model.tensors(component)
        for name in weights:
            if name.endswith(UNET if component == "unet" else TEXT):
                out, *others = weights.shape(name)
                rank = 2 + len(tensors) % 3
                flat = prefixes[component] + name.removesuffix(".weight").replace(".", "_")
                size = (out * float(np.prod(others))) ** 0.25
                tensors[f"{flat}.lora_down.weight"] = torch.randn(rank, *others, generator=generator) / size
                tensors[f"{flat}.lora_up.weight"] = torch.randn(out, rank, *[1] * (len(others) - 1), generator=generator) / size
                tensors[f"{flat}.alpha"] = torch.tensor(2.0)
    return tensors


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Form, Path]:
    root = tmp_path_factory.mktemp("models")
    forms: tuple[Form, ...] = ("sd1", "sdxl")
    return {form: save_pipeline_folder(root / form, form) for form in forms}


@pytest.fixture(scope="module")
def lora_dir(folders: dict[Form, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("loras")
    (root / "more").mkdir()
    model = open_model(folders["sd1"])
    save_file(random_lora(model, 1), root / "fur.safetensors")
    save_file(random_lora(model, 2, ("unet",)), root / "more" / "ink.safetensors")
    save_file(random_lora(model, 3, ("text_encoder",)), root / "words.safetensors")
    save_file(random_lora(open_model(folders["sdxl"]), 4), root / "large.safetensors")
    save_file(random_lora(open_model("nano"), 5), root / "nano.safetensors")
    return root


def draw(pipe: sdrt.Pipeline, prompt: str = PROMPT, **options: Any) -> np.ndarray:
    [image] = pipe.generate(prompt, NEGATIVE, seed=93, **{**SETTINGS, **options}).images
    return np.asarray(image)


def peer_picture(kind: str, folder: Path, loras: list[tuple[Path, float]]) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = getattr(diffusers, kind).from_pretrained(folder)
        peer.set_progress_bar_config(disable=True)
        for file, _ in loras:
            peer.load_lora_weights(file.parent, weight_name=file.name, adapter_name=file.stem)
        peer.set_adapters([file.stem for file, _ in loras], adapter_weights=[strength for _, strength in loras])
        generator = torch.Generator().manual_seed(93)
        [image] = peer(PROMPT, negative_prompt=NEGATIVE, generator=generator, **SETTINGS).images
    return np.asarray(image)


def test_a_picture_with_two_loras_is_that_of_diffusers(folders: dict[Form, Path], lora_dir: Path) -> None:
    chosen = [(lora_dir / "fur.safetensors", 0.8), (lora_dir / "more" / "ink.safetensors", -0.6)]
    want = peer_picture("StableDiffusionPipeline", folders["sd1"], chosen)
    for backend in ("numpy", "torch"):
        with sdrt.load(folders["sd1"], backend, threads=1, loras=chosen) as pipe:
            assert psnr(draw(pipe), want) >= 60
            pipe.set_loras([])
            assert psnr(draw(pipe), want) < 40


def test_sdxl_takes_a_lora_in_all_three_networks(folders: dict[Form, Path], lora_dir: Path) -> None:
    file = lora_dir / "large.safetensors"
    want = peer_picture("StableDiffusionXLPipeline", folders["sdxl"], [(file, 0.7)])
    with sdrt.load(folders["sdxl"], threads=1, lora_dir=lora_dir) as pipe:
        assert psnr(draw(pipe), want) < 40
        assert psnr(draw(pipe, f"{PROMPT}<lora:large:0.7>"), want) >= 60


def test_nano_takes_one_too(lora_dir: Path) -> None:
    chosen = [(lora_dir / "nano.safetensors", 2.0)]
    with sdrt.load("nano", threads=1, loras=chosen) as pipe, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = pipe.model.scheduler_config
        want = peer_picture("StableDiffusionPipeline", pipe.model.path, chosen)
        assert psnr(draw(pipe, scheduler=dict(config)), want) >= 60
        pipe.set_loras(())
        assert psnr(draw(pipe, scheduler=dict(config)), want) < 40


def test_text_encoders_alone_move_the_picture_as_in_diffusers(folders: dict[Form, Path], lora_dir: Path) -> None:
    want = peer_picture("StableDiffusionPipeline", folders["sd1"], [(lora_dir / "words.safetensors", 1.0)])
    with sdrt.load(folders["sd1"], threads=1, lora_dir=lora_dir) as pipe:
        plain, got = draw(pipe), draw(pipe, f"<lora:words> {PROMPT}")
        assert psnr(plain, want) < 40
        assert psnr(got, want) >= 60
        assert draw(pipe, f"<lora:words:0:1> {PROMPT}").tobytes() == plain.tobytes()


@pytest.mark.parametrize(
    ("backend", "options"), [("numpy", {}), ("numpy", {"reduce_memory": True}), ("torch", {"reduce_memory": True, "mmap": False})], ids=str
)
def test_without_them_the_base_draws_the_bytes_that_it_drew(
    folders: dict[Form, Path], lora_dir: Path, backend: str, options: dict[str, Any]
) -> None:
    quick: dict[str, Any] = {"height": 32, "width": 32}
    with sdrt.load(folders["sd1"], backend, threads=1, lora_dir=lora_dir, vae_tiling=False, **options) as pipe:
        before = draw(pipe, **quick)
        pipe.set_loras([("fur", 0.8), (lora_dir / "more" / "ink.safetensors", 0.5)])
        assert pipe.loras == ((lora_dir / "fur.safetensors", 0.8), (lora_dir / "more" / "ink.safetensors", 0.5))
        changed = draw(pipe, **quick)
        assert psnr(before, changed) < 40
        # the prompt's strength stands in the place of the pipeline's
        assert draw(pipe, f"{PROMPT}<lora:fur:0><lora:ink:0>", **quick).tobytes() == before.tobytes()
        pipe.set_loras([])
        assert draw(pipe, f"{PROMPT}<lora:fur:0.8><lora:ink:0.5>", **quick).tobytes() == changed.tobytes()
        assert draw(pipe, **quick).tobytes() == before.tobytes()
    if options and backend == "numpy":
        # weights that are merged at each use are those that are merged once
        with sdrt.load(folders["sd1"], backend, threads=1, lora_dir=lora_dir, loras=[("fur", 0.8), ("ink", 0.5)]) as large:
            assert psnr(draw(large, **quick), changed) >= 60


def test_the_cache_of_openvino_tells_weights_with_a_lora_from_those_without(folders: dict[Form, Path], lora_dir: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'sdrt[openvino]'")
    from sdrt.backends.openvino.conversion import digest

    model = open_model(folders["sd1"])
    lora = open_lora(lora_dir / "words.safetensors", model)
    merged = [with_loras(model, [AppliedLora(lora, strength)]) for strength in (0.0, 0.5, 1.0)]
    digests = [digest("text_encoder", each, PLAIN) for each in (model, *merged)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert len({digest("unet", each, PLAIN) for each in (model, merged[2])}) == 1


# ---- networks


class Counting(FakeBackend):
    """Shows one weight in the pictures, and counts what is opened and what is open."""

    def open(self, component: Any, model: Model, *options: Any) -> Any:
        network = super().open(component, model, *options)
        if component == "unet":
            weights = model.tensors("unet")
            weights.count_as_used(weights)
            weight = 0.1 * np.sin(float(weights["mid_block.resnets.0.conv1.weight"].sum()))
            compute = network.compute
            network.compute = lambda **inputs: {"noise_pred": compute(**inputs)["noise_pred"] + np.float32(weight)}
        return network

    def count(self, component: str) -> tuple[int, int]:
        """Networks opened, and networks open."""
        mine = [network for network in self.opened if network._component == component]
        return len(mine), sum(not network.closed for network in mine)


def test_networks_that_no_lora_touches_stay_open(folders: dict[Form, Path], lora_dir: Path) -> None:
    backend = Counting()
    with sdrt.load(folders["sd1"], backend, lora_dir=lora_dir) as pipe:
        draw(pipe)
        pipe.set_loras(["ink"])
        draw(pipe)
        assert [backend.count(each) for each in ("text_encoder", "unet", "vae_decoder")] == [(1, 1), (2, 1), (1, 1)]
        pipe.set_loras([("ink", 1.0), ("words", 0.5)])
        draw(pipe)
        # the U-Net's weights are the same
        assert [backend.count(each) for each in ("text_encoder", "unet", "vae_decoder")] == [(2, 1), (2, 1), (1, 1)]
        pipe.set_loras([])
        draw(pipe)
        assert [backend.count(each) for each in ("text_encoder", "unet", "vae_decoder")] == [(3, 1), (3, 1), (1, 1)]


def latents(pipe: sdrt.Pipeline, prompt: str = PROMPT) -> np.ndarray:
    """What these networks draw is black or white."""
    return pipe.generate(prompt, NEGATIVE, seed=93, **SETTINGS).latents


def test_threads_with_different_prompts_each_draw_their_own(folders: dict[Form, Path], lora_dir: Path) -> None:
    prompts = [PROMPT, *(f"{PROMPT}<lora:ink:{strength}>" for strength in (0.5, 1, 2))]
    backend = Counting()
    with sdrt.load(folders["sd1"], backend, lora_dir=lora_dir) as pipe:
        want = [latents(pipe, prompt).tobytes() for prompt in prompts]
        assert len(set(want)) == len(prompts)
        got: list[list[bytes]] = [[] for _ in prompts]

        def work(k: int) -> None:
            for turn in range(6):
                got[k].append(latents(pipe, prompts[(k + turn) % len(prompts)]).tobytes())

        threads = [threading.Thread(target=work, args=(k,)) for k in range(len(prompts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == [[want[(k + turn) % len(prompts)] for turn in range(6)] for k in range(len(prompts))]
        # of each network, the variant that was used last
        assert backend.count("unet")[1] == 1


def test_a_call_under_way_keeps_its_loras(folders: dict[Form, Path], lora_dir: Path) -> None:
    backend = Counting()
    with sdrt.load(folders["sd1"], backend, lora_dir=lora_dir, loras=["ink"]) as pipe:
        want = latents(pipe).tobytes()
        steps = pipe.steps(PROMPT, NEGATIVE, seed=93, **SETTINGS)
        next(steps)
        pipe.set_loras([])
        other = latents(pipe).tobytes()
        assert backend.count("unet")[1] == 2
        assert steps.result().latents.tobytes() == want != other
        assert backend.count("unet")[1] == 1


# ---- records


def test_the_record_names_them_and_draws_the_picture_again(folders: dict[Form, Path], lora_dir: Path, tmp_path: Path) -> None:
    with sdrt.load(folders["sd1"], Counting(), lora_dir=lora_dir, loras=[("words", 0.5)]) as pipe:
        result = pipe.generate(f"{PROMPT} <lora:ink:0.25:0.75>", NEGATIVE, seed=93, **SETTINGS)
        [file] = result.save(tmp_path)
        settings = sdrt.Settings.from_png(file)
        assert settings == result.settings
        assert {name: (each.strength, each.te_strength, each.in_prompt) for name, each in settings.loras.items()} == {
            "words": (0.5, 0.5, False),
            "ink": (0.75, 0.25, True),
        }
        again = pipe.generate(**settings.options())
        assert again.images[0].tobytes() == result.images[0].tobytes()
    text = read_text(file)["parameters"]
    assert text.startswith(f"{PROMPT} <lora:ink:0.25:0.75> <lora:words:0.5>\nNegative prompt: ")
    short = {name: each.data_sha256[:12] for name, each in settings.loras.items()}
    assert f'Lora hashes: "words: {short["words"]}, ink: {short["ink"]}"' in text
    assert json.loads(read_text(file)["sdrt"])["loras"]["ink"]["sha256"] == settings.loras["ink"].sha256


# ---- what is refused


def test_an_unknown_name_lists_the_near_ones(folders: dict[Form, Path], lora_dir: Path) -> None:
    backend = Counting()
    with sdrt.load(folders["sd1"], backend, lora_dir=lora_dir) as pipe:
        with pytest.raises(MissingFileError, match=r"no LoRA of the name 'furr' in it; near are 'fur'$"):
            pipe.generate("<lora:furr>")
        assert pipe.resolve("a cat <lora:furr>", prompt_syntax="plain").loras == {}
        assert pipe.resolve("a cat <lora:more/ink>").loras["ink"].strength == 1
    with (
        sdrt.load(folders["sd1"], backend) as pipe,
        pytest.raises(ConfigError, match=r"names the LoRA 'fur', which is not loaded; pass the fo"),
    ):
        pipe.generate("<lora:fur>")
    assert not backend.opened


def test_a_name_that_two_files_have_is_refused(folders: dict[Form, Path], lora_dir: Path, tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "fur.safetensors").write_bytes((lora_dir / "fur.safetensors").read_bytes())
    with sdrt.load(folders["sd1"], Counting(), lora_dir=tmp_path) as pipe:
        with pytest.raises(ConfigError, match=r"must hold one LoRA of the name 'fur', got a/fur, b/fur; write the whole path"):
            pipe.resolve("<lora:fur>")
        assert set(pipe.resolve("<lora:b/fur>").loras) == {"fur"}
        with pytest.raises(ConfigError, match=r"LoRAs must have different names, got .*a.fur\.safetensors and .*b.fur\.safetensors"):
            pipe.set_loras([tmp_path / "a" / "fur.safetensors", tmp_path / "b" / "fur.safetensors"])
        pipe.set_loras([tmp_path / "a" / "fur.safetensors"])
        with pytest.raises(ConfigError, match=r"LoRAs must have different names"):
            pipe.resolve("<lora:b/fur>")


def test_a_bad_file_is_refused_before_anything_runs(folders: dict[Form, Path], lora_dir: Path, tmp_path: Path) -> None:
    tensors = random_lora(open_model(folders["sd1"]), 1)
    first = next(iter(tensors))
    bad = {
        "nan": (tensors | {first: torch.full_like(tensors[first], torch.nan)}, WeightsError, "holds .* NaN or infinite values"),
        "rank0": (tensors | {first: tensors[first][:0]}, ModelError, "must have a rank of at least 1, got 0"),
        "none": ({"a.weight": torch.zeros(2)}, ModelError, r"of its 1 tensors, 1 tensor \('a\.weight'\) fit nothing in"),
    }
    backend = Counting()
    for name, (held, _, _) in bad.items():
        save_file({key: value.contiguous() for key, value in held.items()}, tmp_path / f"{name}.safetensors")
    with sdrt.load(folders["sd1"], backend, lora_dir=tmp_path) as pipe:
        for name, (_, error, message) in bad.items():
            for ask in (lambda name=name: pipe.generate(f"<lora:{name}>"), lambda name=name: pipe.set_loras([name])):
                with pytest.raises(error, match=message):
                    ask()
        with pytest.raises(ModelError, match=r"large\.safetensors: (?:of its|the layer for).*for another model"):
            pipe.set_loras([lora_dir / "large.safetensors"])
        for wrong in ("fur", [("fur", "x")], [("fur", float("nan"))], [3], [("", 1)]):
            with pytest.raises(ConfigError, match="loras must be a list"):
                pipe.set_loras(wrong)  # type: ignore[arg-type]
        with pytest.raises(MissingFileError):
            pipe.set_loras([tmp_path / "missing.safetensors"])
        assert pipe.loras == ()
    assert not backend.opened
