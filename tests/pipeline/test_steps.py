"""A call under way: what it says, how it is told of, and how it is ended at any stage."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt import rng
from sdrt.errors import ArrayContractError, ConfigError
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend, nan_like

PROMPT = "a red circle on a blue background"
QUICK: dict[str, Any] = {"seed": 93, "num_inference_steps": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1")


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def pipe(folder: Path, backend: FakeBackend) -> sdrt.Pipeline:
    return sdrt.load(folder, backend)


# ---- what is known


def test_a_call_knows_its_seeds_settings_and_what_was_cut_before_anything_runs(pipe: sdrt.Pipeline, backend: FakeBackend) -> None:
    steps = pipe.steps("red " * 80, num_images=2, num_inference_steps=3, scheduler="heun", long_prompts="truncate")
    assert steps.settings.num_inference_steps == 3
    assert steps.seeds == (steps.settings.seed, steps.settings.seed + 1)
    assert steps.truncated[0].split() == ["red"] * 5
    assert steps.num_steps == 5
    assert not steps.cancelled
    assert backend.opened == []


def test_a_seed_that_was_drawn_draws_the_same_images_again(pipe: sdrt.Pipeline) -> None:
    steps = pipe.steps(PROMPT, num_inference_steps=2)
    again = pipe.generate(PROMPT, seed=steps.seeds[0], num_inference_steps=2)
    assert steps.result().images[0].tobytes() == again.images[0].tobytes()


def test_resolve_fills_in_what_generate_records_and_opens_nothing(pipe: sdrt.Pipeline, backend: FakeBackend) -> None:
    settings = pipe.resolve(PROMPT, "blue", scheduler="euler a", **QUICK)
    assert backend.opened == []
    assert settings == pipe.generate(PROMPT, "blue", scheduler="euler a", **QUICK).settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_inference_steps": 1001}, "1000.*1001"),
        ({"clip_skip": 3}, "clip_skip"),
        ({"emphasis": "loud"}, "emphasis must be"),
        ({"prompt_syntax": "fancy"}, "prompt_syntax"),
        ({"long_prompts": "drop"}, "long_prompts"),
        ({"rng": "dice"}, "dice"),
        ({"seed": 2**32, "rng": "numpy"}, "4294967296"),
    ],
    ids=str,
)
def test_what_cannot_run_is_refused_before_a_network_is_opened(
    pipe: sdrt.Pipeline, backend: FakeBackend, options: dict[str, Any], message: str
) -> None:
    for call in (pipe.resolve, pipe.steps):
        with pytest.raises(ConfigError, match=message):
            call(PROMPT, **options)
    assert backend.opened == []


def test_resolving_draws_nothing_from_a_stream_that_is_handed_over(pipe: sdrt.Pipeline) -> None:
    stream = rng.stream("torch", 5)
    pipe.resolve(PROMPT, rng=stream)
    assert stream.state == rng.stream("torch", 5).state


def test_calls_on_one_stream_draw_their_starts_in_the_order_in_which_they_were_made(pipe: sdrt.Pipeline) -> None:
    stream, single = rng.stream("torch", 5), rng.stream("torch", 5)
    first, second = (pipe.steps(PROMPT, num_inference_steps=1, rng=stream) for _ in range(2))
    expected = [pipe.generate(PROMPT, num_inference_steps=1, rng=single).latents for _ in range(2)]
    np.testing.assert_array_equal(second.result().latents, expected[1])
    np.testing.assert_array_equal(first.result().latents, expected[0])


def test_every_object_says_what_it_is_in_one_line(pipe: sdrt.Pipeline, folder: Path) -> None:
    steps = pipe.steps(PROMPT, num_images=2, **QUICK)
    step = next(steps)
    assert repr(pipe) == "Pipeline('sd1', backend='fake', numerics='float32')"
    assert repr(steps) == f"Steps(1 of 4 made, {PROMPT!r}, seeds 93 to 94)"
    assert repr(step).startswith("Step(1 of 4, timestep 751, latents [2,4,8,8], ")
    steps.cancel()
    assert repr(steps).endswith(", cancelled)")
    mixed = repr(sdrt.load(folder, {"unet": FakeBackend()}))
    assert "'unet': 'fake'" in mixed
    assert "\n" not in mixed


# ---- the end of a run


def test_the_result_makes_the_steps_that_are_left(pipe: sdrt.Pipeline) -> None:
    steps, whole = pipe.steps(PROMPT, **QUICK), pipe.generate(PROMPT, **QUICK)
    for _ in range(2):
        next(steps)
    result = steps.result()
    assert result.images[0].tobytes() == whole.images[0].tobytes()
    assert (result.seeds, result.settings, result.cancelled) == (whole.seeds, whole.settings, False)
    assert steps.result() is result
    assert list(steps) == []


def test_seconds_are_those_of_the_steps_and_not_of_their_caller(pipe: sdrt.Pipeline) -> None:
    steps, seconds = pipe.steps(PROMPT, **QUICK), []
    for step in steps:
        seconds.append(step.seconds)
        time.sleep(0.05)
    assert steps.result().step_seconds == tuple(seconds)
    assert len(seconds) == 4
    assert 0 < min(seconds) < 0.05


def test_a_step_that_failed_is_the_end_and_is_told_again(folder: Path) -> None:
    steps = sdrt.load(folder, FakeBackend({"unet": nan_like("noise_pred")})).steps(PROMPT, **QUICK)
    with pytest.raises(ArrayContractError, match="noise_pred holds 512 values") as first:
        next(steps)
    assert list(steps) == []
    with pytest.raises(ArrayContractError) as second:
        steps.result()
    assert second.value is first.value


def test_one_image_of_a_batch_is_decoded(pipe: sdrt.Pipeline) -> None:
    step = next(pipe.steps(PROMPT, num_images=3, **QUICK))
    every = step.decode()
    assert len(every) == 3
    for k in range(3):
        assert step.decode(k).tobytes() == every[k].tobytes() == step.preview[k].tobytes()
    outside: tuple[Any, ...] = (3, -1, "1")
    for image in outside:
        with pytest.raises(ConfigError, match=rf"image must be a whole number from 0 to 2, got {image!r}; leave it out for all 3"):
            step.decode(image)
    with pytest.raises(ConfigError, match="kind must be 'vae' for this pipeline, got 'taesd'; load it with preview_vae='taesd'"):
        step.decode(kind="taesd")


# ---- progress


def test_progress_tells_of_each_piece_of_work_before_it_begins(folder: Path) -> None:
    backend, told = FakeBackend(), list[sdrt.Progress]()
    pipe = sdrt.load(folder, backend)

    def note(progress: sdrt.Progress) -> None:
        told.append(progress)
        assert len(backend.opened) == (
            progress.index if progress.stage == "load" else 2 + (progress.stage == "decode" and progress.index > 0)
        )

    pipe.generate(PROMPT, num_images=2, on_progress=note, **QUICK)
    pieces = {"load": 2, "encode": 1, "denoise": 4, "decode": 2}
    assert told == [sdrt.Progress(stage, k, total) for stage, total in pieces.items() for k in range(total)]  # type: ignore[arg-type]
    told.clear()
    pipe.generate(PROMPT, num_images=2, on_progress=told.append, **QUICK)
    assert [progress.stage for progress in told] == ["encode", *["denoise"] * 4, *["decode"] * 2]


def test_with_little_memory_no_network_is_opened_ahead(folder: Path) -> None:
    told = list[sdrt.Progress]()
    sdrt.load(folder, FakeBackend(), reduce_memory=True, vae_tiling=False).generate(PROMPT, on_progress=told.append, **QUICK)
    assert {progress.stage for progress in told} == {"encode", "denoise", "decode"}


def test_networks_under_other_options_are_told_of_too(pipe: sdrt.Pipeline, backend: FakeBackend) -> None:
    told = list[sdrt.Progress]()
    pipe.load()
    pipe.generate(PROMPT, "blue", clip_skip=1, compat="diffusers", scheduler="ddim", on_progress=told.append, **QUICK)
    assert told[:2] == [sdrt.Progress("load", 0, 1), sdrt.Progress("encode", 0, 1)]
    assert [options.clip_skip for options in backend.asked_options] == [0, 0, 0, 1]


# ---- cancelling


@pytest.mark.parametrize(
    ("stage", "index", "steps"), [("load", 0, 0), ("load", 1, 0), ("encode", 0, 0), ("denoise", 0, 0), ("denoise", 2, 2), ("decode", 1, 4)]
)
def test_a_call_can_be_cancelled_at_every_stage(folder: Path, stage: str, index: int, steps: int) -> None:
    backend, told = FakeBackend(), list[sdrt.Progress]()
    pipe = sdrt.load(folder, backend)

    def go_on(progress: sdrt.Progress) -> bool:
        told.append(progress)
        return (progress.stage, progress.index) != (stage, index)

    result = pipe.generate(PROMPT, num_images=2, on_progress=go_on, **QUICK)
    assert (told[-1].stage, told[-1].index) == (stage, index)
    assert (result.cancelled, result.images, result.flagged, result.seeds) == (True, [], None, (93, 94))
    assert len(result.step_seconds) == steps
    assert len(backend.rows) == steps
    assert result.latents.shape == (2, 4, 8, 8)
    assert pipe.decode(result.latents)[0].size == (64, 64)
    assert (
        pipe.generate(PROMPT, **QUICK).images[0].tobytes() == sdrt.load(folder, FakeBackend()).generate(PROMPT, **QUICK).images[0].tobytes()
    )


@pytest.mark.parametrize(("answer", "stops"), [(False, True), (np.False_, True), (True, False), (None, False), (0, False), ("", False)])
def test_false_stops_a_call_and_nothing_else_does(pipe: sdrt.Pipeline, answer: Any, stops: bool) -> None:
    """A comparison of arrays answers numpy's False."""
    assert pipe.generate(PROMPT, on_step=lambda _: answer, **QUICK).cancelled is stops
    assert pipe.generate(PROMPT, on_progress=lambda _: answer, **QUICK).cancelled is stops


def test_the_latents_of_a_cancelled_call_are_those_of_its_last_step(pipe: sdrt.Pipeline) -> None:
    steps = pipe.steps(PROMPT, **QUICK)
    step = next(steps)
    steps.cancel()
    assert list(steps) == []
    result = steps.result()
    assert result.cancelled
    np.testing.assert_array_equal(result.latents, step.latents)


def test_another_thread_cancels(folder: Path) -> None:
    reached, cancelled = threading.Event(), threading.Event()
    calls = []

    def slow(sample: np.ndarray, **_: np.ndarray) -> dict[str, np.ndarray]:
        calls.append(len(sample))
        reached.set()
        assert cancelled.wait(20)
        return {"noise_pred": sample}

    steps = sdrt.load(folder, FakeBackend({"unet": slow})).steps(PROMPT, **QUICK)
    results = list[sdrt.Result]()
    worker = threading.Thread(target=lambda: results.append(steps.result()))
    worker.start()
    assert reached.wait(20)
    steps.cancel()
    cancelled.set()
    worker.join(20)
    assert calls == [2]
    assert [result.cancelled for result in results] == [True]


def test_closing_releases_the_networks(folder: Path) -> None:
    backend = FakeBackend()
    steps = sdrt.load(folder, backend, reduce_memory=True).steps(PROMPT, **QUICK)
    next(steps)
    assert not backend.opened[-1].closed
    steps.close()
    assert all(network.closed for network in backend.opened)
    assert steps.result().cancelled


def test_leaving_the_loop_releases_the_networks(folder: Path) -> None:
    backend = FakeBackend()
    for _ in sdrt.load(folder, backend, reduce_memory=True).steps(PROMPT, **QUICK):
        break
    assert len(backend.opened) == 2
    assert all(network.closed for network in backend.opened)


def test_an_error_of_a_callback_releases_the_networks(folder: Path) -> None:
    def fail(_: object) -> None:
        raise LookupError

    callbacks: tuple[dict[str, Any], ...] = ({"on_step": fail}, {"on_progress": fail})
    for callback in callbacks:
        backend = FakeBackend()
        pipe = sdrt.load(folder, backend, reduce_memory=True)
        # the error is kept, and so is the frame of generate
        with pytest.raises(LookupError) as kept:
            pipe.generate(PROMPT, **QUICK, **callback)
        assert all(network.closed for network in backend.opened)
        assert kept.value.__traceback__ is not None


def test_a_call_that_is_over_cannot_be_cancelled(pipe: sdrt.Pipeline) -> None:
    steps = pipe.steps(PROMPT, **QUICK)
    result = steps.result()
    steps.cancel()
    assert steps.result() is result
    assert not result.cancelled
    assert not steps.cancelled


def test_a_cancel_during_the_last_piece_is_heeded(folder: Path) -> None:
    """The last image is decoded when the cancel comes: the result is cancelled, and says so."""
    steps: sdrt.Steps

    def decode(z: np.ndarray) -> dict[str, np.ndarray]:
        steps.cancel()
        return {"image": np.zeros((1, 3, 64, 64), np.float32)}

    steps = sdrt.load(folder, FakeBackend({"vae_decoder": decode})).steps(PROMPT, **QUICK)
    result = steps.result()
    assert (result.cancelled, steps.cancelled, result.images) == (True, True, [])


def test_opening_a_model_reports_its_networks_and_can_be_cancelled(folder: Path) -> None:
    backend, told = FakeBackend(), list[sdrt.Progress]()
    pipe = sdrt.load(folder, backend)

    def twice(progress: sdrt.Progress) -> bool:
        told.append(progress)
        return len(told) < 3

    assert pipe.load(on_progress=twice) is pipe
    assert told == [sdrt.Progress("load", k, 3) for k in range(3)]
    assert len(backend.opened) == 2
    told.clear()
    pipe.load(on_progress=told.append)
    assert told == [sdrt.Progress("load", 0, 1)], "those that are open are not opened again"
    assert len(backend.opened) == 3


def test_decoding_reports_its_images_and_can_be_cancelled(pipe: sdrt.Pipeline) -> None:
    latents, told = pipe.generate(PROMPT, num_images=3, **QUICK).latents, list[sdrt.Progress]()
    assert len(pipe.decode(latents, on_progress=told.append)) == 3
    assert told == [sdrt.Progress("decode", k, 3) for k in range(3)]
    assert pipe.decode(latents, on_progress=lambda progress: progress.index < 1) == []


# ---- one call, several threads


def test_a_second_thread_in_one_call_is_refused_in_one_line(folder: Path) -> None:
    reached, leave = threading.Event(), threading.Event()

    def slow(sample: np.ndarray, **_: np.ndarray) -> dict[str, np.ndarray]:
        reached.set()
        assert leave.wait(20)
        return {"noise_pred": sample}

    steps = sdrt.load(folder, FakeBackend({"unet": slow})).steps(PROMPT, **QUICK)
    worker = threading.Thread(target=steps.result)
    worker.start()
    assert reached.wait(20)
    try:
        for use in (lambda: next(steps), steps.result, steps.close):
            with pytest.raises(ConfigError, match=r"^a call must be iterated by one thread at a time, got a second one; make a call"):
                use()
    finally:
        leave.set()
        worker.join(20)


def test_a_callback_cannot_iterate_the_call_that_it_reports(pipe: sdrt.Pipeline) -> None:
    steps = pipe.steps(PROMPT, on_progress=lambda progress: next(steps), **QUICK)  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigError, match=r"^a call must be iterated by one thread at a time"):
        next(steps)


# ---- numbers beyond a float's range


@pytest.mark.parametrize("trap", [False, True])
def test_a_step_that_leaves_the_range_of_floats_is_an_error(folder: Path, pipe: sdrt.Pipeline, trap: bool) -> None:
    """Guidance of two finite predictions overflows: neither a warning of numpy nor an infinity comes out, whatever the caller's traps."""

    def huge(sample: np.ndarray, **_: np.ndarray) -> dict[str, np.ndarray]:
        predictions = np.full_like(sample, 3e38)
        predictions[0] *= -1
        return {"noise_pred": predictions}

    with np.errstate(all="raise" if trap else "warn"):
        with pytest.raises(ArrayContractError, match=r"^step 1 of 4: the sample holds 256 values of 256 that are NaN or infinite"):
            next(sdrt.load(folder, FakeBackend({"unet": huge})).steps(PROMPT, **QUICK))
        assert not pipe.generate(PROMPT, **QUICK).cancelled
