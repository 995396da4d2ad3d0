"""The pipeline's own promises, on networks that answer at once."""

import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdrt
from sdrt import schedulers
from sdrt.errors import ArrayContractError, BackendError, ConfigError
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend, nan_like

PROMPT = "a red circle on a blue background"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1")


@pytest.fixture
def pipe(folder: Path) -> sdrt.Pipeline:
    return sdrt.load(folder, FakeBackend())


def draw(pipe: sdrt.Pipeline, **options: Any) -> sdrt.Result:
    return pipe.generate(PROMPT, **({"seed": 93, "num_inference_steps": 4} | options))


def test_the_same_settings_draw_the_same_picture(pipe: sdrt.Pipeline) -> None:
    first, second = draw(pipe), draw(pipe)
    assert first.images[0].tobytes() == second.images[0].tobytes()
    assert first.latents.tobytes() == second.latents.tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 94},
        {"num_inference_steps": 5},
        {"guidance_scale": 3.0},
        {"guidance_rescale": 0.7},
        {"scheduler": "euler a"},
        {"rng": "numpy"},
        {"eta": 0.5},
    ],
    ids=str,
)
def test_every_setting_moves_the_picture(pipe: sdrt.Pipeline, change: dict[str, Any]) -> None:
    assert np.abs(draw(pipe).latents - draw(pipe, **change).latents).max() > 0.01


def test_prompt_and_negative_prompt_move_the_picture(pipe: sdrt.Pipeline) -> None:
    plain = draw(pipe)
    assert np.abs(plain.latents - pipe.generate("blue", seed=93, num_inference_steps=4).latents).max() > 0.01
    assert np.abs(plain.latents - draw(pipe, negative_prompt="blue").latents).max() > 0.01


@pytest.mark.parametrize("scheduler", ["ddim", "euler a", "pndm"])
def test_an_image_of_a_batch_is_the_image_made_alone(pipe: sdrt.Pipeline, scheduler: str) -> None:
    own: dict[str, Any] = {"eta": 0.3} if scheduler == "ddim" else {}
    batch = draw(pipe, num_images=3, scheduler=scheduler, **own)
    assert batch.seeds == (93, 94, 95)
    for k, seed in enumerate(batch.seeds):
        alone = draw(pipe, seed=seed, scheduler=scheduler, **own)
        np.testing.assert_allclose(batch.latents[k], alone.latents[0], rtol=1e-5, atol=1e-5)


def test_no_seed_draws_one_and_reports_it(pipe: sdrt.Pipeline) -> None:
    first = pipe.generate(PROMPT, num_inference_steps=2)
    again = pipe.generate(PROMPT, seed=first.seeds[0], num_inference_steps=2)
    assert first.images[0].tobytes() == again.images[0].tobytes()
    assert pipe.generate(PROMPT, num_inference_steps=2).seeds != first.seeds


@pytest.mark.parametrize(("guidance_scale", "rows"), [(7.5, 4), (1.0, 2), (0.0, 2)])
def test_without_guidance_no_row_is_wasted(folder: Path, guidance_scale: float, rows: int) -> None:
    backend = FakeBackend()
    draw(sdrt.load(folder, backend), guidance_scale=guidance_scale, num_images=2)
    assert set(backend.rows) == {rows}


def test_a_numpy_integer_is_a_seed(pipe: sdrt.Pipeline) -> None:
    result = draw(pipe, seed=np.int64(93))
    assert result.images[0].tobytes() == draw(pipe).images[0].tobytes()
    assert type(result.settings.seed) is int


def test_zero_is_a_value_and_not_an_absence(pipe: sdrt.Pipeline) -> None:
    result = draw(pipe, seed=0, guidance_scale=0)
    assert (result.settings.seed, result.settings.guidance_scale) == (0, 0)


def test_the_defaults_are_the_folders_own(folder: Path, pipe: sdrt.Pipeline) -> None:
    settings = pipe.generate(PROMPT, seed=0).settings
    assert (settings.num_inference_steps, settings.guidance_scale, settings.height, settings.width) == (50, 7.5, 64, 64)
    own = folder.parent / "own"
    if not own.exists():
        save_pipeline_folder(own)
        (own / "sdrt.json").write_text('{"num_inference_steps": 3, "guidance_scale": 2, "height": 32, "width": 48}')
    settings = sdrt.load(own, FakeBackend()).generate(PROMPT, seed=0).settings
    assert (settings.num_inference_steps, settings.guidance_scale, settings.height, settings.width) == (3, 2, 32, 48)


def test_steps_are_the_loop_of_generate(pipe: sdrt.Pipeline) -> None:
    steps = list(pipe.steps(PROMPT, seed=93, num_inference_steps=4))
    assert [(step.index, step.num_steps) for step in steps] == [(k, 4) for k in range(4)]
    timesteps = [step.timestep for step in steps]
    assert timesteps == sorted(timesteps, reverse=True)
    result = draw(pipe)
    np.testing.assert_array_equal(steps[-1].latents, result.latents)
    assert pipe.decode(steps[-1].latents)[0].tobytes() == result.images[0].tobytes()
    assert not steps[0].latents.flags.writeable


def test_a_preview_is_the_decoded_x0(pipe: sdrt.Pipeline) -> None:
    step = next(pipe.steps(PROMPT, seed=93, num_inference_steps=4))
    assert step.x0.shape == step.latents.shape
    assert step.preview[0].size == (64, 64)
    assert step.preview[0].tobytes() == pipe.decode(step.x0)[0].tobytes()
    assert step.preview is step.preview


def test_the_last_x0_is_the_picture(pipe: sdrt.Pipeline) -> None:
    *_, last = pipe.steps(PROMPT, seed=93, num_inference_steps=4, scheduler="euler")
    np.testing.assert_allclose(last.x0, last.latents, atol=1e-5)


def test_returning_false_cancels(pipe: sdrt.Pipeline) -> None:
    seen = []

    def stop_at_second(step: sdrt.Step) -> bool:
        seen.append(step.index)
        return step.index < 1

    result = draw(pipe, on_step=stop_at_second)
    assert seen == [0, 1]
    assert result.cancelled
    assert result.images == []
    assert not draw(pipe, on_step=lambda step: None).cancelled


def test_what_was_cut_from_a_prompt_is_told(pipe: sdrt.Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    result = pipe.generate("red " * 80 + "circle", "blue " * 90, seed=0, num_inference_steps=1, long_prompts="truncate")
    assert result.truncated[0].split() == ["red"] * 5 + ["circle"]
    assert result.truncated[1].split() == ["blue"] * 15
    assert "the prompt is too long" in caplog.text
    assert draw(pipe).truncated == ("", "")


def test_a_scheduler_may_be_a_name_a_configuration_or_an_object(pipe: sdrt.Pipeline) -> None:
    config = {**pipe.model.scheduler_config, "_class_name": "EulerDiscreteScheduler"}
    by_name = draw(pipe, scheduler="euler").latents
    for other in (config, schedulers.from_config(config), schedulers.sampler_from_config(config)):
        np.testing.assert_array_equal(draw(pipe, scheduler=other).latents, by_name)


def test_float64_all_the_way(folder: Path) -> None:
    result = draw(sdrt.load(folder, FakeBackend(), numerics="float64"))
    assert result.latents.dtype == np.float64
    in_float32 = draw(sdrt.load(folder, FakeBackend())).latents
    # the fake U-Net's sine amplifies a rounding about tenfold a step
    np.testing.assert_allclose(result.latents, in_float32, atol=1e-4 * np.abs(in_float32).max())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stepps": 3}, r"unknown option stepps; the options are seed, subseed, .*compat$"),
        ({"num_images": 0}, r"num_images must be a whole number of at least 1, got 0"),
        ({"num_inference_steps": 2.5}, r"num_inference_steps must be a whole number of at least 1, got 2\.5"),
        ({"num_inference_steps": 1001}, r"1000.*1001"),
        ({"guidance_scale": math.nan}, r"guidance_scale must be a finite number, got nan"),
        ({"guidance_rescale": 1.5}, r"guidance_rescale must be a finite number from 0 to 1, got 1\.5"),
        ({"height": 60}, r"height must be a multiple of 8 for this model, got 60; try 64"),
        ({"width": 0}, r"width must be a whole number of at least 1, got 0"),
        ({"scheduler": "eular"}, r"eular"),
        ({"scheduler": 3}, r"scheduler must be a name, a configuration, or an object of sdrt\.schedulers or of diffusers, got int"),
        ({"scheduler": "euler", "eta": 0.5}, r"EulerDiscreteScheduler has no step option eta, got 0.5; leave it out"),
        ({"eta": 1.5}, r"eta must be a finite number from 0 to 1, got 1\.5"),
        ({"compat": "comfy"}, r"compat must be 'diffusers' or 'apple', got 'comfy'"),
        ({"rng": "dice"}, r"numpy, nv, torch.*dice"),
        ({"rng": 3}, r"rng must be the name of a noise stream, a stream or its state, got 3"),
        ({"sampler_rng": 3}, r"sampler_rng must be the name of a noise stream, a stream or its state, got 3"),
        ({"seed": "lucky"}, r"seed must be a whole number of at least -1, or a list .*, got 'lucky'"),
        ({"seed": 2**32, "rng": "numpy"}, r"4294967296"),
        ({"prompt": ["a", 3]}, r"prompt must be a Unicode string, or a list .*, got \['a', 3\]"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_used_is_one_clear_error(pipe: sdrt.Pipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        pipe.generate(**{"prompt": PROMPT, "num_inference_steps": 2, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [({"cfg": "sequential"}, {"guidance_batching": "sequential"}), ({"emphasis": "no norm"}, {"emphasis": "no_norm"})],
    ids=str,
)
def test_options_as_0_1_0_spelled_them_are_taken_with_a_warning(pipe: sdrt.Pipeline, old: dict[str, Any], new: dict[str, Any]) -> None:
    [(name, value)] = new.items()
    with pytest.warns(DeprecationWarning, match=f"is deprecated; write {name}='{value}'") as caught:
        result = draw(pipe, **old)
    assert [warning.filename for warning in caught] == [__file__]
    assert result.settings == draw(pipe, **new).settings
    with pytest.warns(DeprecationWarning, match=f"is deprecated; write {name}='{value}'") as caught:
        pipe.steps(PROMPT, **old)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_number_for_cfg_is_told_what_is_meant(pipe: sdrt.Pipeline) -> None:
    with pytest.raises(ConfigError, match=r"cfg must be 'batched' or 'sequential', got 7; .* guidance_scale=7"):
        draw(pipe, cfg=7)


def test_settings_are_checked_before_the_first_step(pipe: sdrt.Pipeline) -> None:
    with pytest.raises(ConfigError, match="multiple of 8"):
        pipe.steps(PROMPT, height=60)


def test_a_nan_of_a_network_is_named(folder: Path) -> None:
    with pytest.raises(ArrayContractError, match=r"unet output: noise_pred holds 512 values of 512 that are NaN or infinite"):
        draw(sdrt.load(folder, FakeBackend({"unet": nan_like("noise_pred")})))


def test_an_output_of_another_shape_is_named(folder: Path) -> None:
    broken = FakeBackend({"vae_decoder": lambda z: {"image": z}})
    with pytest.raises(ArrayContractError, match=r"vae_decoder output: expected image float32\[\*,3,\*,\*\], got float32\[1,4,8,8\]"):
        draw(sdrt.load(folder, broken))


def test_closing(folder: Path) -> None:
    backend = FakeBackend()
    with sdrt.load(folder, backend) as pipe:
        draw(pipe.load())
        assert len(backend.opened) == 3
        pipe.unload()
        assert all(network.closed for network in backend.opened)
        draw(pipe)
    assert len(backend.opened) == 6
    assert all(network.closed for network in backend.opened)
    with pytest.raises(BackendError, match=r"the pipeline is closed; make a new one with sdrt\.load"):
        draw(pipe)
    pipe.close()


def test_options_of_a_backend_reach_it_and_unknown_ones_are_refused(folder: Path) -> None:
    backend = FakeBackend()
    sdrt.load(folder, backend, threads=3, glitter="much").load()
    assert {(options.threads, options.extra["glitter"]) for options in backend.options} == {(3, "much")}
    with pytest.raises(ConfigError, match=r"unknown option gliter; with backend fake the options are threads, glitter"):
        sdrt.load(folder, backend, gliter="much")
    with pytest.raises(ConfigError, match=r"backend must be given for components among text_encoder, .*, safety_checker, .*, got u_net"):
        sdrt.load(folder, {"u_net": backend})


@pytest.mark.parametrize("backend", [3, ["fake"], {"unet": 3}], ids=str)
def test_what_is_no_backend_is_refused(folder: Path, backend: Any) -> None:
    with pytest.raises(ConfigError, match=r"backend must be a name, a Backend, or a mapping by component, got (3|\['fake'\])"):
        sdrt.load(folder, backend)


def test_parts_may_run_on_different_backends(folder: Path) -> None:
    backend = FakeBackend()
    mixed = sdrt.load(folder, {"unet": backend, "text_encoder": backend})
    assert mixed.backends == {"text_encoder": "fake", "unet": "fake", "vae_decoder": "numpy", "vae_encoder": "numpy"}
    assert draw(mixed).images[0].size == (64, 64)


def test_two_calls_on_one_pipeline_and_two_pipelines_do_not_disturb_each_other(folder: Path, pipe: sdrt.Pipeline) -> None:
    other = sdrt.load(folder, FakeBackend())
    jobs = [(pipe, 1, "euler a"), (pipe, 2, "pndm"), (other, 3, "dpm++ 2m"), (other, 1, "euler a")]
    alone = [draw(p, seed=seed, scheduler=name, num_inference_steps=20).latents for p, seed, name in jobs]
    together: list[Any] = [None] * len(jobs)
    start = threading.Barrier(len(jobs))

    def job(k: int) -> None:
        p, seed, name = jobs[k]
        start.wait()
        together[k] = draw(p, seed=seed, scheduler=name, num_inference_steps=20).latents

    threads = [threading.Thread(target=job, args=(k,)) for k in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for got, want in zip(together, alone, strict=True):
        np.testing.assert_array_equal(got, want)


def test_two_half_finished_loops_interleave(pipe: sdrt.Pipeline) -> None:
    one = pipe.steps(PROMPT, seed=1, num_inference_steps=6, scheduler="euler a")
    two = pipe.steps(PROMPT, seed=2, num_inference_steps=6, scheduler="euler a")
    pairs = list(zip(one, two, strict=True))
    np.testing.assert_array_equal(pairs[-1][0].latents, draw(pipe, seed=1, num_inference_steps=6, scheduler="euler a").latents)
    np.testing.assert_array_equal(pairs[-1][1].latents, draw(pipe, seed=2, num_inference_steps=6, scheduler="euler a").latents)


def test_a_model_of_other_channels_is_refused(folder: Path, tmp_path: Path) -> None:
    import json
    import shutil

    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    config = json.loads((copy / "unet/config.json").read_text())
    (copy / "unet/config.json").write_text(json.dumps(config | {"in_channels": 8}))
    with pytest.raises(ConfigError, match=r"the unet must take as many channels as the vae has, 4, or .*, 9, got 8"):
        sdrt.load(copy)


@given(seed=st.integers(0, 2**32 - 3), num_images=st.integers(1, 3))
def test_the_noise_of_each_image_is_its_own_seeds(folder: Path, seed: int, num_images: int) -> None:
    pipe = sdrt.load(folder, FakeBackend())
    result = pipe.generate(PROMPT, seed=seed, num_images=num_images, num_inference_steps=1, rng="numpy")
    assert result.seeds == tuple(seed + k for k in range(num_images))
    assert len({image.tobytes() for image in result.images}) == num_images


def test_nothing_is_printed(pipe: sdrt.Pipeline, capfd: pytest.CaptureFixture[str]) -> None:
    draw(pipe)
    assert capfd.readouterr() == ("", "")
