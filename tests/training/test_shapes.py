"""Distances and pictures that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.scenes import PICTURE, Disc, Placement, render
from training.shapes import EXTENT, SHAPES, Shape, distance


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_lies_in_its_box_and_fills_a_good_part_of_it(shape: Shape) -> None:
    """Nothing is rendered outside EXTENT radii, and no shape is a speck."""
    axis = np.linspace(-2.0, 2.0, 401, dtype=np.float32)
    inside = distance(shape, axis[None, :] * 10.0, axis[:, None] * 10.0, 10.0) < 0.0
    rows, columns = np.nonzero(inside)
    assert np.abs(axis[columns]).max() <= EXTENT + 0.01
    assert np.abs(axis[rows]).max() <= EXTENT + 0.01
    assert 0.25 < inside.mean() * 16.0 / 4.0 < 0.9


@pytest.mark.parametrize("shape", SHAPES)
def test_distance_grows_by_one_a_pixel(shape: Shape) -> None:
    """The size of the gradient is 1 nearly everywhere: the field is a distance, not merely a sign."""
    axis = np.linspace(-30.0, 30.0, 241, dtype=np.float32)
    dy, dx = np.gradient(distance(shape, axis[None, :], axis[:, None], 20.0), 0.25)
    assert np.median(np.hypot(dx, dy)) == pytest.approx(1.0, abs=0.01)


def test_hand_checked_distances() -> None:
    """Circle and square at points whose distance is obvious."""
    x, y = np.array([0.0, 30.0, 20.0], np.float32), np.zeros(3, np.float32)
    assert distance("circle", x, y, 20.0) == pytest.approx([-20.0, 10.0, 0.0], abs=1e-4)
    assert distance("square", x, y, 25.0) == pytest.approx([-22.0, 8.0, -2.0], abs=1e-4)


def test_a_window_is_a_part_of_the_picture() -> None:
    """Training windows show exactly what the whole picture shows there."""
    placement = Placement((Disc("star", 60.0, 70.0, 30.0, (250.0, 10.0, 10.0)),), (0.0, 100.0, 255.0))
    whole, nearest = render(placement)
    window, near = render(placement, left=20, top=30, side=64)
    np.testing.assert_array_equal(window, whole[:, 30:94, 20:84])
    np.testing.assert_array_equal(near, nearest[30:94, 20:84])
    assert whole.shape == (3, PICTURE, PICTURE)
