"""The vectors are read as a port reads them, by JSON and raw bytes, and held against torch, numpy and diffusers."""

import hashlib
import json
import shutil
import struct
import subprocess
import warnings
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from transformers import CLIPTextModel

from sdrt.testing import write_vectors
from tests.peers import open_peer
from tests.tokenizer.peer import clip_files, write_folder
from tests.tokenizer.peer import open_peer as open_tokenizer

Arrays = dict[str, Any]

SCRIPT = Path(__file__).parents[3] / "docs" / "check-vectors.mjs"

NODE = shutil.which("node")

# float32's rounding in both, of the largest value: what the README tells ports.
BOUND = 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vectors(tmp_path_factory.mktemp("vectors"))


def read_json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def read_arrays(file: Path) -> Arrays:
    """Safetensors by the rule of the README."""
    raw = file.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    kinds = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "U8": "u1"}
    arrays = {}
    for name, entry in json.loads(raw[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            arrays[name] = np.frombuffer(raw[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def relative_error(found: Any, wanted: Any) -> float:
    return float(np.abs(np.asarray(found) - wanted).max() / np.abs(wanted).max())


def test_the_same_bytes_again_within_five_megabytes(folder: Path, tmp_path: Path) -> None:
    index = read_json(folder / "index.json")
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file() and file.name != "index.json"}
    assert index["files"] == {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    assert sum(file.stat().st_size for file in files.values()) < 5e6
    assert (write_vectors(tmp_path) / "index.json").read_bytes() == (folder / "index.json").read_bytes()
    described = (folder / "README.md").read_text(encoding="utf-8")
    assert [name for name in files if name.split("/")[0] not in described and name != "README.md"] == []


def test_tokens_are_transformers(folder: Path, tmp_path: Path) -> None:
    peer = open_tokenizer(write_folder(tmp_path / "clip", {**clip_files(), "tokenizer_config.json": {"model_max_length": 77}}))
    rows = read_json(folder / "tokens.json")
    wanted = peer([row["text"] for row in rows], padding="max_length", truncation=True, max_length=77)["input_ids"]
    for row, ids in zip(rows, wanted, strict=True):
        assert len(row["input_ids"]) == 77
        assert row["input_ids"][: ids.index(49407)] == ids[: ids.index(49407)], row["text"]


def test_noise_is_torchs_and_numpys(folder: Path) -> None:
    arrays, rows = read_arrays(folder / "noise.safetensors"), read_json(folder / "noise.json")
    assert {"numpy", "generator", "libstdc++", "torch", "torch-scalar", "nv"} == {row["stream"] for row in rows}
    draws: Any = None
    for row in rows:
        if row["draw"] == 0:
            draws = peer_stream(row["stream"], row["seed"])
        drawn = arrays[f"{row['key']}.float32"]
        assert drawn.shape == arrays[f"{row['key']}.float64"].shape == tuple(row["shape"])
        assert draws is None or np.abs(drawn - draws(row["shape"])).max() < 4e-6, row


def peer_stream(name: str, seed: int) -> Any:
    """Draws of numpy and torch; the other streams' peers are a GPU, a Mac and a C++ program."""
    if name == "numpy":
        return np.random.RandomState(seed).standard_normal
    if name == "generator":
        generator = np.random.default_rng(seed)
        return lambda shape: generator.standard_normal(shape, np.float32)
    if name == "torch":
        torch_generator = torch.Generator().manual_seed(seed)
        return lambda shape: torch.randn(shape, generator=torch_generator).numpy()
    return None


@pytest.mark.parametrize("sampler", ["ddim", "dpm++ 2m", "deis", "unipc"])
def test_steps_are_diffusers(folder: Path, sampler: str) -> None:
    """The classes whose samples have the scale of the vectors."""
    row = next(row for row in read_json(folder / "steps.json") if row["sampler"] == sampler)
    layout = next(each for each in read_json(folder / "schedules.json") if each["sampler"] == sampler)
    config = layout["config"]
    arrays = read_arrays(folder / "steps.safetensors")
    with warnings.catch_warnings():
        # diffusers' own, about numpy 2
        warnings.simplefilter("ignore", DeprecationWarning)
        peer = getattr(diffusers, config["_class_name"]).from_config(config)
        peer.set_timesteps(layout["num_inference_steps"])
        assert peer.timesteps.tolist() == layout["timesteps"]
        peer.set_timesteps(row["num_inference_steps"])
        x, samples = torch.from_numpy(arrays["start"].copy()), []
        for index, timestep in enumerate(peer.timesteps):
            x = peer.step(torch.from_numpy(arrays[f"output.{index}"].copy()), timestep, x).prev_sample
            samples.append(x.numpy())
    assert relative_error(np.stack(samples), arrays[f"{row['key']}.float32"]) < 2e-5
    assert relative_error(np.stack(samples), arrays[f"{row['key']}.float64"]) < 2e-4


def test_guidance_is_the_formula(folder: Path) -> None:
    arrays = read_arrays(folder / "guidance.safetensors")
    guided = arrays["uncond"] + 7.5 * (arrays["cond"] - arrays["uncond"])
    assert relative_error(guided, arrays["guided"]) < 1e-12
    scaled = guided * arrays["cond"].std(ddof=1) / guided.std(ddof=1)
    assert relative_error(0.7 * scaled + 0.3 * guided, arrays["rescaled"]) < 1e-12


def test_networks_are_diffusers_and_transformers(folder: Path) -> None:
    arrays, checked = read_arrays(folder / "networks.safetensors"), set()
    for row in read_json(folder / "networks.json"):
        given = {name: torch.from_numpy(arrays[f"{row['key']}.input.{name}"].copy()) for name in row["inputs"]}
        with torch.no_grad():
            found = peer_outputs(folder / "model", row["network"], given)
        for name, value in found.items():
            assert relative_error(value.numpy(), arrays[f"{row['key']}.output.{name}.float64"]) < BOUND, (row, name)
            assert relative_error(arrays[f"{row['key']}.output.{name}.float32"], arrays[f"{row['key']}.output.{name}.float64"]) < BOUND
            checked.add(row["network"])
    assert checked == {"text_encoder", "unet", "unet-xl", "controlnet", "vae_decoder", "vae_encoder"}


def peer_outputs(model: Path, network: str, given: Arrays) -> Arrays:
    """What the peers' modules give; nothing for the safety checker, whose class gives no scores."""
    if network == "text_encoder":
        output = CLIPTextModel.from_pretrained(model / network)(given["input_ids"].long(), output_hidden_states=True)
        return {
            "last_hidden_state": output.last_hidden_state,
            "penultimate_hidden_state": output.hidden_states[-2],
            "pooled": output.pooler_output,
        }
    if network.startswith("unet"):
        added = {name: given.pop(name) for name in ("text_embeds", "time_ids") if name in given}
        residuals = [given.pop(name) for name in list(given) if name.startswith("additional")]
        own = {"down_block_additional_residuals": residuals[:-1], "mid_block_additional_residual": residuals[-1]} if residuals else {}
        return {"noise_pred": UNet2DConditionModel.from_pretrained(model / network)(**given, **own, added_cond_kwargs=added).sample}
    if network == "controlnet":
        output = ControlNetModel.from_pretrained(model / network)(**given)
        every = [*output.down_block_res_samples, output.mid_block_res_sample]
        return {f"additional_residual_{index}": residual for index, residual in enumerate(every)}
    if network == "vae_decoder":
        return {"image": AutoencoderKL.from_pretrained(model / "vae").decode(given["z"]).sample}
    if network == "vae_encoder":
        return {"moments": AutoencoderKL.from_pretrained(model / "vae").encode(given["x"]).latent_dist.parameters}
    return {}


def test_the_run_is_diffusers(folder: Path) -> None:
    """float32 there, float64 here: a level of grey here and there."""
    about, arrays = read_json(folder / "run.json"), read_arrays(folder / "run.safetensors")
    peer = open_peer("StableDiffusionPipeline", folder / "model", safety_checker=None)
    options = {name: about[name] for name in ("prompt", "negative_prompt", "num_inference_steps", "guidance_scale", "height", "width")}
    noise = torch.randn((1, 4, 8, 12), generator=torch.Generator().manual_seed(about["seed"]))
    [image] = peer(**options, latents=noise, output_type="np").images
    assert [int(each) for each in about["timesteps"]] == peer.scheduler.timesteps.tolist()
    apart = np.abs(np.round(255 * image) - arrays["pixels"])
    assert apart.max() <= 1
    assert apart.mean() < 0.01
    last = len(about["timesteps"]) - 1
    assert arrays[f"latents.{last}.float64"].dtype == np.float64


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_a_port_in_javascript_reads_them(folder: Path, tmp_path: Path) -> None:
    """And sees a schedule that is one step too far."""
    ran = subprocess.run([str(NODE), str(SCRIPT), str(folder)], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.count("equal")) == (0, 2), ran
    wrong = shutil.copytree(folder, tmp_path / "wrong")
    (wrong / "schedules.json").write_text((folder / "schedules.json").read_text().replace('"steps_offset":1', '"steps_offset":0'))
    assert subprocess.run([str(NODE), str(SCRIPT), str(wrong)], capture_output=True, check=False).returncode == 1
