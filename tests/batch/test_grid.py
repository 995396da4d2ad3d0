"""Grids: every combination once, in the order of the sheet, and prompts as AUTOMATIC1111's scripts make them."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdrt.batch import Axis, Grid, parse_axis, plan_grid
from sdrt.errors import ConfigError
from sdrt.limits import Limits

HERE = Path()


def plan(prompt: str, *axes: str | None, matrix: bool = False, **options: Any) -> Grid:
    return plan_grid(prompt, options, [None if each is None else parse_axis(each) for each in axes], matrix=matrix, folder=HERE)


def test_each_combination_is_a_job_and_x_runs_fastest() -> None:
    grid = plan("a", "seed=1,2,3", "guidance_scale=3,5.5", "scheduler=euler a,ddim", num_inference_steps=4)
    said = [(job.options["seed"], job.options["guidance_scale"], job.options["scheduler"]) for job in grid.jobs]
    assert said == [(seed, scale, name) for name, scale, seed in itertools.product(("euler a", "ddim"), (3, 5.5), (1, 2, 3))]
    assert {job.options["num_inference_steps"] for job in grid.jobs} == {4}
    assert grid.columns == ("seed: 1", "seed: 2", "seed: 3")
    assert (grid.rows, grid.sheets) == (("guidance_scale: 3", "guidance_scale: 5.5"), ("scheduler: euler a", "scheduler: ddim"))
    assert [job.name for job in grid.jobs[:2]] == ["001 a", "002 a"]


@given(counts=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)), sizes=st.tuples(st.integers(8, 20), st.integers(8, 20)))
def test_a_sheet_has_a_place_for_each_picture(counts: tuple[int, int, int], sizes: tuple[int, int]) -> None:
    names = ("seed", "guidance_scale", "num_inference_steps")
    axes = [f"{name}={','.join(str(k + 1) for k in range(count))}" for name, count in zip(names, counts, strict=True)]
    grid = plan("a", *axes)
    assert len(grid.jobs) == counts[0] * counts[1] * counts[2]
    assert len({str(job.given) for job in grid.jobs}) == len(grid.jobs)
    sheet = grid.sheet([Image.new("RGB", sizes, (k + 1, 0, 200)) for k in range(len(grid.jobs))])
    colours = {colour for _, colour in sheet.getcolors(10**6) or []}
    assert {(k + 1, 0, 200) for k in range(len(grid.jobs))} <= colours


def test_alternatives_of_a_prompt_take_the_axes_that_are_free() -> None:
    grid = plan("a {red|blue} {circle|square|ring}, {plain}", None, "seed=1,2")
    assert (grid.columns, grid.rows, grid.sheets) == (("red", "blue"), ("seed: 1", "seed: 2"), ("circle", "square", "ring"))
    assert grid.jobs[5].prompt == "a blue square, {plain}"
    assert {job.prompt for job in grid.jobs} == {
        f"a {colour} {shape}, {{plain}}" for colour in ("red", "blue") for shape in ("circle", "square", "ring")
    }


def test_all_pictures_share_a_seed_that_stays_the_same() -> None:
    one, two, other = plan("a", "guidance_scale=1,2"), plan("a", "guidance_scale=1,2,3"), plan("b", "guidance_scale=1,2")
    seeds = {job.options["seed"] for job in (*one.jobs, *two.jobs)}
    assert seeds == {one.seed}
    assert other.seed != one.seed
    assert plan("a", "guidance_scale=1,2", seed=7).seed == 7


def test_all_pictures_share_a_subseed_that_stays_the_same() -> None:
    """So that an axis of strengths goes from one noise to one other."""
    grids = [plan_grid("a", {"seed": 1}, [parse_axis("subseed_strength=0,0.5,1")], folder=Path()) for _ in range(2)]
    subseeds = [job.options.get("subseed") for job in grids[0].jobs]
    assert subseeds[0] is None
    assert subseeds[1] is not None
    assert subseeds[1] == subseeds[2]
    assert grids[0].jobs == grids[1].jobs
    assert [job.options["subseed"] for job in plan_grid("a", {"subseed": 4, "subseed_strength": 0.5}, folder=Path()).jobs] == [4]


def test_a_text_is_searched_and_replaced() -> None:
    grid = plan("a red circle", 'replace=red,blue,"dark, green",', negative_prompt="no red")
    assert [job.prompt for job in grid.jobs] == ["a red circle", "a blue circle", "a dark, green circle", "a  circle"]
    assert [job.negative_prompt for job in grid.jobs] == ["no red", "no blue", "no dark, green", "no "]
    crossed = plan("", "replace=red,blue", "prompt=a red ring,two red dots")
    assert [job.prompt for job in crossed.jobs] == ["a red ring", "a blue ring", "two red dots", "two blue dots"]


# What scripts/prompt_matrix.py of AUTOMATIC1111/stable-diffusion-webui 1.10.1 draws, in its order: the bits of the number choose the parts.
# Its own line: ", ".join([parts[0]] + [part.strip().strip(",") for n, part in enumerate(parts[1:]) if number & (1 << n)])
@pytest.mark.parametrize("prompt", ["a street|illustration", "a street |  art, | by night|small ", "a|b|c|d|e"])
def test_a_matrix_is_automatic1111s(prompt: str) -> None:
    parts = prompt.strip().split("|")
    expected = [
        ", ".join([parts[0]] + [part.strip().strip(",") for n, part in enumerate(parts[1:]) if number & (1 << n)])
        for number in range(2 ** (len(parts) - 1))
    ]
    grid = plan(prompt, matrix=True)
    assert [job.prompt for job in grid.jobs] == expected
    # images.draw_prompt_matrix: the first half of the parts along the columns
    assert len(grid.columns) == 2 ** -(-(len(parts) - 1) // 2)
    assert grid.columns[:2] == ("(none)", parts[1].strip().strip(","))


def test_an_axis_may_be_any_option_and_pictures_lie_where_it_says() -> None:
    grid = plan_grid("a", {}, [parse_axis("original_size=512x768,64x64"), parse_axis("mask-image=a.png,b.png")], folder=Path("/here"))
    assert [job.options["original_size"] for job in grid.jobs] == [(512, 768), (64, 64)] * 2
    assert [job.files["mask_image"] for job in grid.jobs[1:3]] == [(Path("/here/a.png"),), (Path("/here/b.png"),)]
    assert parse_axis("--guidance-batching=Sequential,batched") == Axis(
        "guidance_batching", ("sequential", "batched"), ("guidance_batching: Sequential", "guidance_batching: batched")
    )


@pytest.mark.parametrize(
    ("axes", "options", "message"),
    [
        (["steps=1,2"], {}, r"an axis must be NAME=VALUE,VALUE,\.\.\. with an option as its name, got 'steps=1,2'; the names are prompt, "),
        (["seed"], {}, r"an axis must be NAME=VALUE"),
        (["num_images=1,2"], {}, r"an axis must be NAME=VALUE"),
        (["seed="], {}, r"an axis must have values, got 'seed='; write seed=VALUE,VALUE"),
        (["seed=1,,2"], {}, r"an axis must have values"),
        (["replace=,a"], {}, r"an axis must have values"),
        (["num_inference_steps=1,x"], {}, r"the axis num_inference_steps must be a whole number of at least 1, got 'x'; correct it"),
        (["guidance_rescale=0.5,2"], {}, r"the axis guidance_rescale must be a finite number from 0 to 1, got 2"),
        (["seed=1,2", "seed=3,4"], {}, r"the axes of a grid must have different names, got seed twice"),
        (["replace=blue,red"], {}, r"the axis replace must begin with a text of the prompt, got 'blue'"),
        (["seed=1", "eta=1", "width=8"], {}, r"a grid must have at most 3 axes, got 4; leave some out"),
        (["prompt=a,b"], {}, r"the prompt must be an axis or hold alternatives, got both"),
        (["seed=1,2"], {"num_images": 2}, r"num_images must be 1 for a grid, .* got 2; leave it out"),
        (["guidance_scale=1,2"], {"seed": (1, 2)}, r"seed must be one for a grid, got a list; make it an axis"),
    ],
    ids=str,
)
def test_what_is_no_grid_is_one_error(axes: list[str], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan("a {red|green} circle", *axes, **options)


def test_a_grid_is_bounded_before_it_is_planned() -> None:
    with pytest.raises(ConfigError, match=r"the pictures of a grid must be at most 10, got 16"):
        plan_grid("a|b|c|d|e", {}, matrix=True, folder=HERE, limits=Limits(images=10))
    with pytest.raises(ConfigError, match=r"the prompt of a matrix must have parts, as 'first\|second\|third', got 'a'"):
        plan("a", matrix=True)
