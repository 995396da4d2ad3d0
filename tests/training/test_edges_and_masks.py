"""Edges lie on outlines, masks cover what they say, and both are what other programs make of the same pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sdrt.images import canny
from training.captions import shapeless_caption, unplaced_caption
from training.edges import Pen, draw_edges, sample_pen
from training.masks import Mask, apart, blob, cells, everything, half, hide, hole_around, rectangle, sample_mask, silhouette, spots
from training.outlines import OUTLINE, outline_colour, render_outlined
from training.scattering import sample_unplaced, scatter
from training.scenes import COLOURS, PALETTE, PICTURE, Disc, Item, Placement, Scene, held_out, place, render, sample, to_bytes
from training.shapes import EXTENT, SHAPES, Shape


def _black(shape: Shape, radius: float = 30.0) -> Placement:
    return Placement((Disc(shape, 64.0, 60.0, radius, (20.0, 20.0, 20.0)),), (245.0, 245.0, 245.0))


@pytest.mark.parametrize("shape", SHAPES)
def test_edges_are_where_canny_finds_them(shape: Shape) -> None:
    """Within two pixels, in both directions."""
    found = np.asarray(canny(to_bytes(render(_black(shape))[0]))) > 0
    drawn = draw_edges(_black(shape), Pen(1.4, sharp=True)) > 0.5

    def reach(mask: Mask) -> Mask:
        padded = np.pad(mask, 2)
        return np.asarray(np.any([padded[down : down + PICTURE, right : right + PICTURE] for down in range(5) for right in range(5)], 0))

    assert found.any()
    assert (reach(drawn) | ~found).all()
    assert (reach(found) | ~drawn).mean() > 0.999


def test_a_pen_draws_as_it_says() -> None:
    """Wider lines are wider, sharp ones have two tones, and gaps are black."""
    circle = _black("circle")
    thin, wide = (draw_edges(circle, Pen(width)).sum() for width in (1.0, 3.0))
    assert wide == pytest.approx(3.0 * thin, rel=0.02)
    assert set(np.unique(draw_edges(circle, Pen(2.0, sharp=True)))) == {0.0, 1.0}
    gap = draw_edges(circle, Pen(2.0, gaps=((94.0, 60.0, 5.0),)))
    assert gap[60, 92:96].max() == 0.0 < draw_edges(circle, Pen(2.0))[60, 92:96].max()
    right = draw_edges(circle, Pen(2.0, shift=(1.0, 0.0)))
    np.testing.assert_allclose(right[:, 1:], draw_edges(circle, Pen(2.0))[:, :-1], atol=1e-5)
    assert not np.array_equal(draw_edges(circle, Pen(2.0, waves=((1.0, 1.0, 3.0, 2.0, 0.0),))), draw_edges(circle, Pen(2.0)))


def test_every_pen_keeps_near_the_outline() -> None:
    """However it wobbles."""
    rng, circle = np.random.default_rng(0), _black("circle")
    for _ in range(20):
        lines = draw_edges(circle, sample_pen(rng))
        assert 0.0 <= lines.min() <= lines.max() <= 1.0
        rows, columns = np.nonzero(lines > 0.5)
        assert len(rows) > 60
        assert np.abs(np.hypot(columns + 0.5 - 64.0, rows + 0.5 - 60.0) - 30.0).max() < 9.0


def test_masks_cover_what_they_say() -> None:
    """Rectangles, halves, blobs and silhouettes."""
    assert everything().all()
    for side in range(4):
        assert half(side).sum() == PICTURE * PICTURE // 2
    assert not (half(0) & half(1)).any()
    assert not (half(2) & half(3)).any()
    assert half(2)[0].all()
    assert rectangle(3.0, 5.0, 10.0, 20.0)[5:20, 3:10].all()
    assert blob(64.0, 64.0, 20.0).sum() == pytest.approx(np.pi * 400.0, rel=0.01)
    disc = Disc("ring", 40.0, 64.0, 20.0, (0.0, 0.0, 0.0))
    assert not silhouette(disc, 0.0)[64, 40]
    assert silhouette(disc, 0.0).sum() < silhouette(disc, 3.0).sum()
    assert not (apart(everything(), disc) & silhouette(disc, 1.0)).any()


def test_a_hole_surrounds_its_object() -> None:
    """The object's pixels are all hidden; other masks leave something to hide or to keep."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        placement = place(sample(rng, pairs=0.0, unseen=False), rng)
        hole = hole_around(placement.discs[0], rng)
        assert not (silhouette(placement.discs[0], 0.0) & ~hole).any()
        assert sample_mask(placement, rng).dtype == spots(rng).dtype == np.bool_
        picture = render(placement)[0]
        hidden = hide(picture, hole)
        assert (hidden[:, hole] == 0.0).all()
        np.testing.assert_array_equal(hidden[:, ~hole], picture[:, ~hole])


def test_cells_are_those_of_diffusers() -> None:
    """Its in-painting pipeline shrinks a mask by torch's "nearest"."""
    mask = np.random.default_rng(0).random((PICTURE, PICTURE)) < 0.5
    expected = torch.nn.functional.interpolate(torch.from_numpy(mask)[None, None].float(), size=(16, 16))
    np.testing.assert_array_equal(cells(mask), expected[0, 0].numpy())


def test_scattered_objects_lie_apart_in_reading_order_and_in_the_picture() -> None:
    """Of two, the first is further left or higher."""
    rng = np.random.default_rng(2)
    for number in range(40):
        scene = sample_unplaced(rng, pairs=0.7, unseen=bool(number % 2))
        assert held_out(scene) == bool(number % 2)
        discs = scatter(scene, rng).discs
        assert [disc.shape for disc in discs] == [item.shape for item in scene.items]
        for disc in discs:
            assert EXTENT * disc.radius < min(disc.x, disc.y, PICTURE - disc.x, PICTURE - disc.y)
        if len(discs) == 2:
            apart_by = np.subtract((discs[1].x, discs[1].y), (discs[0].x, discs[0].y))
            assert apart_by[np.abs(apart_by).argmax()] > EXTENT * (discs[0].radius + discs[1].radius)


def test_captions_leave_out_what_something_else_decides() -> None:
    """Neither place nor size; and no shape where edges show it."""
    rng = np.random.default_rng(3)
    forbidden = {"left", "right", "top", "bottom", "upper", "lower", "small", "medium", "large", "centre", "above"}
    shapes = {*SHAPES, "disc", "disk", "dot", "box", "plus", "donut", "rhombus"}
    for _ in range(200):
        scene = sample(rng, pairs=0.5, unseen=False)
        named, bare = unplaced_caption(scene, rng).replace(",", "").split(), shapeless_caption(scene, rng).replace(",", "").split()
        assert not forbidden & {*named, *bare}
        assert shapes & {*named}
        assert not shapes & {*bare}
        colours = {"violet": "purple", "turquoise": "cyan"}
        for item in scene.items:
            assert all(item.colour in [colours.get(word, word) for word in words] for words in (named, bare))
        assert "background" not in unplaced_caption(scene, rng, say_background=False)


def test_outlines_contrast_and_surround() -> None:
    """The object keeps its pixels, its outline has a third colour."""
    for colour in COLOURS:
        for background in COLOURS:
            if colour != background:
                assert outline_colour(Item("star", colour), background) not in (colour, background)
    scene = Scene((Item("circle", "blue"),), "yellow")
    placement = Placement((Disc("circle", 64.0, 64.0, 30.0, PALETTE["blue"]),), PALETTE["yellow"])
    picture, nearest = to_bytes(render_outlined(scene, placement)[0]), render_outlined(scene, placement)[1]
    assert tuple(picture[64, 64]) == PALETTE["blue"]
    assert tuple(picture[64, 97]) == PALETTE["white"]
    assert tuple(picture[64, 104]) == PALETTE["yellow"]
    assert nearest[64, 97] == pytest.approx(3.5 - OUTLINE / 2.0, abs=0.01)
