"""Sample images: sizes, seams, determinism, exact means, no download."""

from __future__ import annotations

import socket
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_msimage import samples
from napari_msimage.errors import ArgumentError, DoesNotExistError


def test_tissue_needs_no_download(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the sample tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    samples._tissue_picture.cache_clear()
    assert samples.tissue((97, 130)).shape == (97, 130, 3)


def test_tissue_begins_with_the_picture_and_is_colourful():
    picture = samples.tissue((512, 512))
    assert picture.dtype == np.uint8
    assert picture.std(axis=(0, 1)).min() > 10
    larger = samples.tissue((700, 1301))
    np.testing.assert_array_equal(larger[:512, :512], picture)


def test_tissue_is_mirrored_at_every_edge_of_the_picture():
    mosaic = samples.tissue((1100, 1600))
    expected = np.pad(
        samples.tissue((512, 512)), ((0, 588), (0, 1088), (0, 0)), "symmetric"
    )
    np.testing.assert_array_equal(mosaic, expected)


def test_tissue_refuses_what_is_not_a_height_and_a_width():
    with pytest.raises(ArgumentError, match=r"shape_yx must be 2 ints.*got \(0, 5\)"):
        samples.tissue((0, 5))
    with pytest.raises(ArgumentError, match="shape_yx must be 2 ints"):
        samples.tissue((5, 5, 3))
    with pytest.raises(ArgumentError, match="shape_yx must be 2 ints"):
        samples.tissue((5.5, 5))


def test_missing_picture_is_named(monkeypatch, tmp_path):
    import skimage

    monkeypatch.setattr(skimage, "__file__", str(tmp_path / "__init__.py"))
    samples._tissue_picture.cache_clear()
    with pytest.raises(DoesNotExistError, match=r"lacks its tissue picture .*ihc\.png"):
        samples.tissue((5, 5))
    samples._tissue_picture.cache_clear()


@pytest.mark.parametrize("channels_first", [False, True], ids=["yxc", "cyx"])
def test_mosaic_blocks_equal_the_whole_picture(channels_first):
    mosaic = samples.TissueMosaic((1537, 1030), channels_first=channels_first)
    whole = samples.tissue((1537, 1030))
    if channels_first:
        whole = np.moveaxis(whole, -1, 0)
    key = (slice(1, 3), slice(500, 530), slice(1000, 2000))
    if not channels_first:
        key = (*key[1:], key[0])
    assert mosaic.shape == whole.shape
    np.testing.assert_array_equal(mosaic[key], whole[key])
    np.testing.assert_array_equal(mosaic[key[0]], whole[key[0]])


def test_mosaic_of_any_size_costs_nothing_until_asked():
    mosaic = samples.TissueMosaic((2**20, 2**21))
    assert mosaic[2**20 - 5 :, 2**21 - 7 :].shape == (5, 7, 3)


def test_volume_is_the_same_on_every_call_and_other_seeds_differ():
    first = samples.volume((2, 7, 41, 53))
    np.testing.assert_array_equal(first, samples.volume((2, 7, 41, 53)))
    assert not np.array_equal(first, samples.volume((2, 7, 41, 53), seed=2))


def test_volume_shows_nuclei_inside_membranes():
    image = samples.volume((3, 12, 151, 130))
    assert image.dtype == np.uint16
    assert image.shape == (3, 12, 151, 130)
    nuclei, membranes, marker = image.astype(float)
    inside = nuclei > nuclei.max() / 2
    assert 0.005 < inside.mean() < 0.3
    assert membranes[inside].mean() < 0.3 * membranes.max()
    assert marker.std() > 0


def test_volume_refuses_three_sizes():
    with pytest.raises(ArgumentError, match="shape_czyx must be 4 ints"):
        samples.volume((3, 4, 5))


def _exact_mean_1d(values: list[int], size: int) -> list[Fraction]:
    ratio = Fraction(len(values), size)
    means = []
    for i in range(size):
        low, high = i * ratio, (i + 1) * ratio
        covered = (
            max(Fraction(0), min(high, j + 1) - max(low, j)) * v
            for j, v in enumerate(values)
        )
        means.append(sum(covered) / ratio)
    return means


@given(st.lists(st.integers(0, 255), min_size=2, max_size=60), st.integers(2, 5))
def test_pyramid_is_the_area_mean_with_partly_covered_pixels(values, factor):
    array = np.array(values, np.float64)[:, None]
    level = samples.pyramid(array, axes=(0,), factor=factor, until=len(values) - 1)[1]
    expected = [float(mean) for mean in _exact_mean_1d(values, level.shape[0])]
    assert level.shape[0] == -(-len(values) // factor)
    np.testing.assert_allclose(level[:, 0], expected, rtol=1e-12, atol=1e-9)


def test_pyramid_of_even_sizes_is_the_block_mean_of_the_reference_level():
    array = np.random.default_rng(3).integers(0, 256, (3, 512, 768), np.uint8)
    levels = samples.pyramid(array, until=100)
    assert [level.shape for level in levels] == [
        (3, 512, 768),
        (3, 256, 384),
        (3, 128, 192),
        (3, 64, 96),
    ]
    for k, level in enumerate(levels):
        f = 2**k
        blocks = array.reshape(3, 512 // f, f, 768 // f, f).mean(axis=(2, 4))
        np.testing.assert_array_equal(level, np.rint(blocks).astype(np.uint8))


def test_pyramid_of_odd_sizes_keeps_the_mean_and_the_other_axes():
    array = np.random.default_rng(4).integers(0, 60000, (97, 130, 3), np.uint16)
    levels = samples.pyramid(array, axes=(0, 1), until=20)
    assert [level.shape for level in levels] == [
        (97, 130, 3),
        (49, 65, 3),
        (25, 33, 3),
        (13, 17, 3),
    ]
    for level in levels[1:]:
        assert level.dtype == np.uint16
        np.testing.assert_allclose(
            level.mean(axis=(0, 1)), array.mean(axis=(0, 1)), atol=0.5
        )


def test_pyramid_of_a_small_picture_is_that_picture():
    array = samples.tissue((20, 30))
    (level,) = samples.pyramid(array, axes=(0, 1))
    assert level is array


def test_pyramid_refuses_a_factor_of_one():
    with pytest.raises(ArgumentError, match=r"factor >= 2.*got factor=1"):
        samples.pyramid(np.zeros((9, 9)), factor=1)
