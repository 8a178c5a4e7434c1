"""Regions: drawn maps give the boxes, outlines and families that were drawn, in pixels of the original image."""

import numpy as np
import pytest

from artifact_detection.detector.regions import MOST, Region, coarse_map, draw_regions, find_regions, from_text, to_text
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.labels import FAMILIES

WHOLE = (0.0, 0.0, 1.0, 1.0)
CELLS = 28
PREPROCESSING = Preprocessing(8 * CELLS)


def maps_with(*patches: tuple[slice, slice, str, float], shape: tuple[int, int] = (CELLS, CELLS)) -> np.ndarray:
    """(1 + families, h, w) probabilities: patches of rows, columns, family and P(artifact)."""
    maps = np.full((1 + len(FAMILIES), *shape), 0.02, np.float32)
    for rows, columns, family, probability in patches:
        maps[0, rows, columns] = probability
        maps[1 + FAMILIES.index(family), rows, columns] = probability
    return maps


def test_a_patch_becomes_its_box_in_pixels_of_the_image():
    maps = maps_with((slice(7, 14), slice(14, 21), "anatomy", 0.9))
    [region] = find_regions(maps, PREPROCESSING, WHOLE, width=560, height=1120)
    assert (region.family, region.score) == ("anatomy", 0.9)
    assert region.box == pytest.approx((280, 280, 420, 560), abs=20)  # half a cell is 10 x 20 pixels
    painted = draw_regions([region], 560, 1120)
    assert (painted > 0).mean() == pytest.approx(1 / 16, rel=0.05)
    assert set(np.unique(painted)) == {0, 1 + FAMILIES.index("anatomy")}


def test_patches_apart_are_regions_apart_and_the_surest_is_first():
    one = (slice(2, 6), slice(2, 6), "overlay", 0.7)
    maps = maps_with(one, (slice(20, 25), slice(20, 25), "generation", 0.95))
    found = find_regions(maps, PREPROCESSING, WHOLE, 280, 280)
    assert [(region.family, region.score) for region in found] == [("generation", 0.95), ("overlay", 0.7)]


@pytest.mark.parametrize(("peak", "count"), [(0.1, 0), (0.2, 1), (1.0, 1)])
def test_a_faint_map_has_no_region_and_a_weak_one_has_its_best(peak, count):
    maps = maps_with((slice(10, 14), slice(10, 14), "overlay", peak))
    assert len(find_regions(maps, PREPROCESSING, WHOLE, 100, 100)) == count


def test_a_patch_at_the_edge_reaches_it():
    maps = maps_with((slice(0, 28), slice(24, 28), "occlusion", 0.9))
    [region] = find_regions(maps, PREPROCESSING, WHOLE, 700, 300)
    assert region.box[1:] == (0, 700, 300)


@pytest.mark.parametrize("crop", ["face", "both"])
def test_what_the_face_view_sees_lies_on_the_face(crop):
    shape = (CELLS, 2 * CELLS if crop == "both" else CELLS)
    maps = maps_with((slice(12, 16), slice(-16, -12), "anatomy", 0.9), shape=shape)  # the middle of the face view
    preprocessing = Preprocessing(8 * CELLS, crop=crop)
    [region] = find_regions(maps, preprocessing, (0.25, 0.5, 0.75, 1.0), 800, 800)
    assert region.box == pytest.approx((400 - 29, 600 - 29, 400 + 29, 600 + 29), abs=10)
    heat = coarse_map(maps, preprocessing, (0.25, 0.5, 0.75, 1.0), 16)
    assert heat.shape == (16, 16) and np.argwhere(heat > 0.3).mean(0) == pytest.approx((11.5, 7.5), abs=1)


def test_there_are_never_too_many():
    rng = np.random.default_rng(0)
    maps = rng.random((1 + len(FAMILIES), 40, 40)).astype(np.float32)
    found = find_regions(maps, Preprocessing(320), WHOLE, 1024, 1024)
    assert 0 < len(found) <= MOST
    assert all(0 <= low < high <= 1024 for one in found for low, high in (one.box[::2], one.box[1::2]))


def test_regions_survive_being_written():
    regions = [Region("overlay", 0.5, ((0, 1), (20, 1), (9, 30))), Region("generation", 0.25, ((1, 1), (2, 1), (2, 2)))]
    assert from_text(to_text(regions)) == regions
    assert from_text("") == []


def test_the_surer_region_is_drawn_on_top():
    square = ((0, 0), (9, 0), (9, 9), (0, 9))
    painted = draw_regions([Region("overlay", 0.9, square), Region("generation", 0.5, square)], 10, 10)
    assert np.unique(painted).tolist() == [1]
