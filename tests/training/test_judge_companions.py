"""The judge of the companions accepts drawn pictures, and rejects each thing that can be wrong with one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.companion_cases import HOLE_KINDS, EdgeCase, HoleCase, edge_cases, hole_cases
from training.judge_companions import is_kept, judge_edges, judge_hole, judge_outlined
from training.masks import half, silhouette
from training.outlines import render_outlined
from training.scenes import Disc, Item, Placement, Scene, held_out, place, render, to_bytes

RED, BLUE, WHITE = (220.0, 38.0, 38.0), (45.0, 80.0, 220.0), (245.0, 245.0, 245.0)


def _edge_case(*discs: Disc, names_shape: bool = True) -> EdgeCase:
    scene = Scene(tuple(Item(disc.shape, "red" if disc.rgb == RED else "blue") for disc in discs), "white")
    return EdgeCase("lines", names_shape, "", np.zeros((128, 128), np.uint8), scene, Placement(discs, WHITE))


def _drawn(*discs: Disc) -> np.ndarray:
    return to_bytes(render(Placement(discs, WHITE))[0])


def test_cases_are_held_out_and_of_every_kind() -> None:
    """A case asks for combinations that no stage saw; the edges are not empty, and the pictures that follow them are right."""
    for case in edge_cases(10, seed=3):
        assert held_out(case.scene)
        assert (case.edges > 0).sum() > 40
        assert judge_edges(to_bytes(render(case.placement)[0]), case).all
    cases = hole_cases(10, seed=3)
    assert [case.kind for case in cases[:5]] == list(HOLE_KINDS)
    for hole in cases:
        assert held_out(hole.scene)
        assert is_kept(hole.original, hole.original, hole.mask)
        verdict = judge_hole(hole.original, hole)
        # nothing is missing yet where only parts are hidden; elsewhere the original does not show what is asked for
        assert verdict.all == (hole.kind in ("half", "complete"))


def test_edges_must_be_followed() -> None:
    """Another shape, place or size is rejected, in that aspect."""
    star = Disc("star", 50.0, 70.0, 24.0, RED)
    case = _edge_case(star)
    assert judge_edges(_drawn(star), case).all
    assert judge_edges(_drawn(replace(star, x=52.0, radius=25.0)), case).all
    assert not judge_edges(_drawn(replace(star, shape="circle")), case).shape
    assert not judge_edges(_drawn(replace(star, x=57.0)), case).position
    assert not judge_edges(_drawn(replace(star, radius=30.0)), case).size
    assert not judge_edges(_drawn(replace(star, rgb=BLUE)), case).colour
    assert not judge_edges(_drawn(star, Disc("circle", 105.0, 20.0, 14.0, RED)), case).all


def test_two_objects_exchange_colours_only_where_no_shape_is_named() -> None:
    """A prompt that names shapes binds the colours to them."""
    discs = Disc("star", 35.0, 70.0, 20.0, RED), Disc("ring", 95.0, 60.0, 22.0, BLUE)
    exchanged = _drawn(replace(discs[0], rgb=BLUE), replace(discs[1], rgb=RED))
    assert not judge_edges(exchanged, _edge_case(*discs)).all
    assert judge_edges(exchanged, _edge_case(*discs, names_shape=False)).all
    both_red = _drawn(discs[0], replace(discs[1], rgb=RED))
    assert not judge_edges(both_red, _edge_case(*discs, names_shape=False)).colour


def test_what_is_kept_may_blur_by_a_pixel_and_no_more() -> None:
    """A moved outline is forgiven, a moved or missing object is not; the hole does not count."""
    star = Disc("star", 30.0, 64.0, 20.0, RED)
    original, hole = _drawn(star), half(1)
    assert is_kept(_drawn(replace(star, x=30.7)), original, hole)
    assert is_kept(_drawn(star, Disc("circle", 100.0, 64.0, 20.0, BLUE)), original, hole)
    assert not is_kept(_drawn(replace(star, x=36.0)), original, hole)
    assert not is_kept(_drawn(), original, hole)
    assert not is_kept(_drawn(replace(star, rgb=BLUE)), original, hole)


def test_a_hole_must_hold_what_was_asked_for() -> None:
    """The object in its colour within the hole, whatever stays beside it."""
    kept, asked = Disc("star", 30.0, 40.0, 20.0, RED), Disc("ring", 90.0, 80.0, 22.0, BLUE)
    scene = Scene((Item("star", "red"), Item("ring", "blue")), "white", layout="beside")
    case = HoleCase("add", "", _drawn(kept), silhouette(replace(asked, shape="square", radius=32.0), 0.0), scene, (kept,), scene.items[1])
    assert judge_hole(_drawn(kept, asked), case).all
    assert judge_hole(_drawn(kept, replace(asked, x=86.0, radius=19.0)), case).all
    assert not judge_hole(_drawn(kept), case).scene.shape
    assert not judge_hole(_drawn(kept, replace(asked, shape="circle")), case).scene.shape
    assert not judge_hole(_drawn(kept, replace(asked, rgb=RED)), case).scene.colour
    assert not judge_hole(_drawn(asked), case).kept
    assert not judge_hole(_drawn(kept, replace(asked, radius=8.0)), case).scene.size


@pytest.mark.parametrize("scene", [Scene((Item("star", "red"),), "blue"), Scene((Item("circle", "white"),), "black", "top left", "small")])
def test_an_outline_is_told_from_none(scene: Scene) -> None:
    """And from a wrong object within it."""
    placement = place(scene, np.random.default_rng(0))
    assert judge_outlined(to_bytes(render_outlined(scene, placement)[0]), scene).all
    plain = judge_outlined(to_bytes(render(placement)[0]), scene)
    assert (plain.outline, plain.shape, plain.colour) == (False, True, True)
    other = replace(scene, items=(Item("heart", scene.items[0].colour),))
    assert not judge_outlined(to_bytes(render_outlined(scene, placement)[0]), other).shape
    assert not judge_outlined(to_bytes(render_outlined(scene, placement)[0]), replace(scene, background="green")).background
