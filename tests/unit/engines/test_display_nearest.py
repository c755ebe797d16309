"""The overview of labels: every pixel is a label of the image, in the right place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_msimage.engines import TileMaker, build_display, run
from napari_msimage.engines._display_nearest import nearest_pixels
from napari_msimage.engines._downsample import Downsampler
from napari_msimage.storage import TileCache


@pytest.fixture
def small_limits(monkeypatch):
    """Make images of a few megapixels behave like ones of many gigabytes."""
    pyramid = "napari_msimage.engines._display_pyramid"
    monkeypatch.setattr(f"{pyramid}.MAX_COARSEST_BYTES", 2**14)
    monkeypatch.setattr(f"{pyramid}.MAX_COARSEST_SIDE", 64)
    monkeypatch.setattr(f"{pyramid}.OVERVIEW_SIDE", 32)
    monkeypatch.setattr("napari_msimage.engines._display.MEMORY_BYTES", 2**15)
    monkeypatch.setattr("napari_msimage.engines._display_tiles._TILE_SIDE", 64)
    monkeypatch.setattr("napari_msimage.engines._overview.BLOCK_BYTES", 2**14)
    monkeypatch.setattr("napari_msimage.engines._stored_level.PIECE_BYTES", 2**14)


@pytest.fixture
def build(small_limits):
    """Return a function that builds the display of labels, as a viewer sees it."""
    maker, displays = TileMaker(), []

    def build(levels, **options):
        display = build_display(
            levels, is_labels=True, cache=TileCache(2**28), maker=maker, **options
        )
        displays.append(display)
        return display, maker

    yield build
    for display in displays:
        assert display.close()
    maker.join()


def labels(shape, dtype="u2"):
    """Return labels of which no mean is another one."""
    found = np.random.default_rng(4).integers(0, 9, shape)
    return (found**2 * 100 + found).astype(dtype)


@given(n_out=st.integers(1, 60), more=st.integers(0, 500))
def test_the_pixel_that_holds_the_centre_is_picked(n_out, more):
    n_in = n_out + more
    found = nearest_pixels(n_in, n_out, 0, n_out)
    # the centre of pixel k, in halves of n_out-th parts of a finer pixel
    for k, pixel in enumerate(found.tolist()):
        centre, size = (2 * k + 1) * n_in, 2 * n_out
        assert pixel * size < centre <= (pixel + 1) * size
    (strided,) = Downsampler("stride", np.dtype("i8"), (n_in,), [(n_out,)]).downsample(
        np.arange(n_in), ((0, n_out),)
    )
    assert found.tolist() == strided.tolist()


SHAPES = {
    "even": (1024, 768),
    "odd": (1013, 771),
    "volume": (9, 401, 350),
    "row": (1, 70_000),
}


@pytest.mark.parametrize("is_viewer", [True, False])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_virtual_level_is_picked_from_the_stored_one(
    shape, is_viewer, build, CountingLevel
):
    pixels = labels(shape)
    level = CountingLevel.of(pixels, tile=64)
    display, maker = build([level], is_viewer=lambda: is_viewer)
    assert len(display.levels) >= 3
    run(display.fill())
    for array in display.levels[1:]:
        for _ in range(2):  # the first time tiles are still missing
            shown = np.asarray(array)
            assert maker.wait_idle(30)
        rows = [
            nearest_pixels(n, m, 0, m) for n, m in zip(shape, array.shape, strict=True)
        ]
        np.testing.assert_array_equal(shown, pixels[np.ix_(*rows)])


def test_nothing_but_labels_is_ever_shown(build, CountingLevel):
    pixels = labels((1013, 771))
    known = np.unique(pixels)
    coarse = pixels[::8, ::8]
    for levels in ([pixels], [pixels, coarse]):
        display, maker = build([CountingLevel.of(one, tile=64) for one in levels])
        n_shown = 0
        for _ in display.fill():
            for array in display.levels[1:]:
                assert np.isin(np.asarray(array), known).all()
                n_shown += 1
        assert n_shown
        assert maker.wait_idle(30)


def test_blocks_that_were_not_read_yet_show_a_label_of_their_neighbours(
    build, CountingLevel
):
    pixels = labels((1024, 1024)) + 1  # without a background
    display, _ = build([CountingLevel.of(pixels, tile=64)])
    next(display.fill())
    assert np.asarray(display.levels[-1]).all()


def test_images_are_averaged_as_before(small_limits, CountingLevel):
    pixels = np.full((1024, 1024), 10, "u1")
    pixels[::2] = 20
    maker = TileMaker()
    display = build_display([CountingLevel.of(pixels, tile=64)], maker=maker)
    run(display.fill())
    assert set(np.unique(display.levels[-1])) == {15}
    assert display.close()
    maker.join()
