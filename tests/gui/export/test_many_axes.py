"""The "Export region" form with layers of more axes than an export holds."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.gui

LABELS = ("t", "c", "z", "y", "x")


@pytest.fixture
def movie(viewer):
    """Return a layer with 5 axes, and 2 levels that differ along 3 of them."""
    finest = np.random.default_rng(3).integers(1, 200, (6, 3, 4, 90, 130), np.uint8)
    levels = [finest, finest[..., ::2, ::2, ::2].copy()]
    layer = viewer.add_image(
        levels, name="movie", multiscale=True, axis_labels=LABELS, scale=(5, 1, 2, 1, 1)
    )
    viewer.dims.current_step = (2, 1, 3, 0, 0)
    return layer


@pytest.fixture
def form(add_form, movie):
    """Return the form, in a window that shows the layer."""
    return add_form()


@pytest.fixture
def run(form, planned, qtbot):
    """Return a function that exports, and returns the pixels of the file."""

    def export():
        (path,) = (file.path for file in planned().plan.files)
        form.run.native.click()
        qtbot.waitUntil(
            lambda: not form.is_running and form.message.startswith("Exported")
        )
        return np.load(path)

    return export


def test_the_point_of_the_sliders_is_exported(viewer, movie, form, planned, run):
    planned()
    assert form.message.startswith("1 file, about")
    assert "axis t at 2 (of 0 to 5), axis c at 1 (of 0 to 2)" in form.notes
    form.place.region.value = "whole"
    assert np.array_equal(run(), movie.data[0][2, 1])


def test_the_plan_follows_the_sliders(viewer, movie, form, planned, run):
    planned()
    viewer.dims.set_current_step(0, 5)
    planned()
    assert "axis t at 5 (of 0 to 5)" in form.notes
    viewer.dims.set_current_step(1, 0)
    form.place.region.value = "view"
    viewer.scene.camera.zoom /= 4
    form.level.value = 1
    assert planned().snapshot.view.point[0] == 25
    assert np.array_equal(run(), movie.data[1][5, 0, 1:2])


def test_one_of_the_axes_may_be_channels(viewer, movie, form, planned, run):
    planned()
    form.channel_axis.value = 1
    form.place.region.value = "whole"
    planned()
    assert "axis t at 2 (of 0 to 5)." in form.notes
    assert form.channels.names == ("channel 0", "channel 1", "channel 2")
    assert np.array_equal(run(), movie.data[0][2])


def test_other_axes_on_the_canvas(viewer, movie, form, planned, run):
    viewer.dims.order = (1, 2, 3, 0, 4)
    form.place.region.value = "whole"
    preview = planned()
    assert "axis c at 1 (of 0 to 2), axis z at 3 (of 0 to 3)" in form.notes
    assert preview.rows[0].shapes == ((6, 90, 130),)
    assert np.array_equal(run(), movie.data[0][:, 1, 3])


def test_new_layers_are_where_they_were(viewer, movie, form, planned, qtbot):
    form.format.value = "layer"
    planned()
    viewer.scene.camera.zoom /= 4
    preview = planned()
    assert "axis t at 2" in form.notes
    assert preview.segments.shape == (4, 2, 2)
    form.run.native.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    made = viewer.layers[1]
    assert np.array_equal(made.data[0], movie.data[0][2:3, 1:2, 3:4])
    assert np.allclose(
        made.data_to_world([0] * 5), movie.data_to_world((2, 1, 3, 0, 0))
    )
    planned()
