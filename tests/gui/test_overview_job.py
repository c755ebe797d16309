"""Images without small levels in napari: what is read, shown, said and cleaned up."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_msimage.engines import MAX_READ_BYTES, DisplayChange
from napari_msimage.errors import StorageError
from napari_msimage.plugin import _display_jobs, _overview_job
from napari_msimage.plugin._display_jobs import OverviewJobs
from napari_msimage.plugin._overview_job import (
    display_of,
    make_display,
    starting_contrast_limits,
    watch_viewer,
)

THREADS = {"napari-msimage tiles", "napari-msimage overview"}


class Level:
    """A level of any size, computed from position, that notes what napari reads."""

    def __init__(self, shape, dtype="uint8", rgb=False):
        self.shape, self.dtype, self.ndim = tuple(shape), np.dtype(dtype), len(shape)
        self.size = math.prod(shape)
        n_spatial = self.ndim - rgb
        extents = ([1] * n_spatial + [512] * 2)[-n_spatial:] + [1] * rgb
        self.chunks = tuple(
            tuple(min(e, n - at) for at in range(0, n, e))
            for e, n in zip(extents, self.shape, strict=True)
        )
        self.reads = []
        self.fails = False
        self.pause = 0.0

    def __getitem__(self, key):
        return _Window(self, key)

    def get(self, key):
        time.sleep(self.pause)
        if self.fails:
            msg = "the disk is gone"
            raise StorageError(msg)
        ranges = [range(n)[k] for n, k in zip(self.shape, key, strict=True)]
        value = np.zeros(tuple(map(len, ranges)), self.dtype)
        for axis, r in enumerate(ranges[:3]):
            steps = (np.arange(r.start, r.stop) // (self.shape[axis] // 8 or 1)) * 9
            value += steps.astype(self.dtype).reshape(
                (-1,) + (1,) * (self.ndim - axis - 1)
            )
        if threading.current_thread() is threading.main_thread():
            self.reads.append(value.nbytes)
        return value + self.dtype.type(20)


class _Window:
    def __init__(self, level, key):
        self._level, self._key = level, key

    def __array__(self, dtype=None, copy=None):
        return self._level.get(self._key)


@pytest.fixture
def messages(monkeypatch):
    """Return the sentences that the user is told, as (severity, sentence)."""
    told = []

    def tell(message, severity="info"):
        told.append((severity, message))

    monkeypatch.setattr(_display_jobs, "tell", tell)
    return told


# What napari asks of the levels, without a window ------------------------------------


class Look:
    """Does to a layer what a canvas of some size does when it is drawn."""

    def __init__(self, viewer, layer, canvas):
        self.viewer, self.layer, self.canvas = viewer, layer, np.array(canvas)

    def at(self, zoom, centre):
        """Draw with this many canvas pixels per pixel of level 0."""
        half = self.canvas / zoom / 2
        corners = np.stack([np.array(centre) - half, np.array(centre) + half])
        self.layer._update_draw(
            scale_factor=1 / zoom,
            corner_pixels_displayed=corners,
            shape_threshold=tuple(self.canvas),
        )


CANVASES = {"small": (600, 800), "4K": (2160, 3840), "tall": (3840, 1000)}

IMAGES = {
    "rgb 32768": ([(32768, 32768, 3)], "uint8", True),
    "rgb odd": ([(33333, 20001, 3)], "uint8", True),
    "gray16": ([(40000, 30001)], "uint16", False),
    "float": ([(30000, 30000)], "float64", False),
    "visium": ([(20001, 17999, 3), (600, 540, 3)], "uint8", True),
    "pyramid": (
        [(16384, 16384, 3), (8192,) * 2 + (3,), (4096,) * 2 + (3,)],
        "uint8",
        1,
    ),
}


@pytest.mark.parametrize("canvas", CANVASES.values(), ids=CANVASES)
@pytest.mark.parametrize(("shapes", "dtype", "rgb"), IMAGES.values(), ids=IMAGES)
def test_no_slicing_reads_more_than_the_limit_at_any_zoom(shapes, dtype, rgb, canvas):
    levels = [Level(shape, dtype, bool(rgb)) for shape in shapes]
    display = make_display(levels, rgb=bool(rgb), name="image")
    viewer = ViewerModel()
    layer = viewer.add_image(display.levels, multiscale=True, rgb=bool(rgb))
    look = Look(viewer, layer, canvas)
    shape = np.array(shapes[0][:2])
    used = set()

    fit = min(np.array(canvas) / shape)
    for zoom in np.geomspace(fit / 2, 2, 12):
        for centre in (shape / 2, shape / 3 + 77):
            for level in levels:
                level.reads.clear()
            look.at(zoom, centre)
            used.add(layer.data_level)
            read = sum(sum(level.reads) for level in levels)
            assert read <= MAX_READ_BYTES, (zoom, layer.data_level)
    viewer.layers.clear()
    display.close()

    assert {0, 1} <= used


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)], ids=str)
@pytest.mark.parametrize("ndisplay", [2, 3])
def test_no_slicing_of_a_volume_reads_more_than_the_limit(order, ndisplay):
    level = Level((300, 6000, 5001), "uint16")
    display = make_display([level], rgb=False, name="volume")
    viewer = ViewerModel()
    layer = viewer.add_image(
        display.levels, multiscale=True, contrast_limits=(0, 255), name="volume"
    )
    worst = 0
    viewer.dims.order = order
    viewer.dims.ndisplay = ndisplay
    for step in (0, 100, 299):
        viewer.dims.set_point(0, step)
        worst = max([worst, *level.reads])
        level.reads.clear()
        if ndisplay == 2:
            look = Look(viewer, layer, (2160, 3840))
            for zoom in (0.3, 1.0, 3.0):
                shown = [layer.data.shape[axis] for axis in order[-2:]]
                look.at(zoom, np.array(shown) / 2)
                worst = max([worst, *level.reads])
                level.reads.clear()
    viewer.layers.clear()
    display.close()

    assert worst <= MAX_READ_BYTES


def test_thick_slices_stay_within_the_limit():
    level = Level((300, 6000, 5001), "uint16")
    display = make_display([level], rgb=False, name="volume")
    viewer = ViewerModel()
    layer = viewer.add_image(display.levels, multiscale=True, contrast_limits=(0, 255))
    layer.projection_mode = "mean"
    viewer.dims.thickness = (200, 0, 0)
    level.reads.clear()

    Look(viewer, layer, (1000, 1000)).at(0.7, (3000, 2500))
    viewer.layers.clear()
    display.close()

    assert sum(level.reads) <= MAX_READ_BYTES


@pytest.mark.parametrize("index", [1, 3], ids=["tiles", "memory"])
def test_scripts_get_exact_pixels_where_napari_gets_quick_ones(index):
    level = Level((32768, 32768, 3), rgb=True)
    display = make_display([level], rgb=True, name="image")
    f = 2**index

    mine = np.asarray(display.levels[index][100:200, 300:500])

    window = np.s_[100 * f : 200 * f, 300 * f : 500 * f, 0:3]
    exact = np.asarray(level[window]).astype(float)
    expected = np.floor(exact.reshape(100, f, 200, f, 3).mean(axis=(1, 3)) + 0.5)
    np.testing.assert_array_equal(mine, expected)
    display.close()


def test_other_layers_have_no_display():
    viewer = ViewerModel()
    plain = viewer.add_image(np.zeros((9, 9)))
    pyramid = viewer.add_image([np.zeros((9, 9)), np.zeros((4, 4))], multiscale=True)
    points = viewer.add_points(np.zeros((3, 2)))

    assert [display_of(layer) for layer in (plain, pyramid, points)] == [None] * 3


# In a window -------------------------------------------------------------------------


@pytest.fixture
def watched(viewer, messages, qtbot, monkeypatch):
    """Return a viewer whose layers are taken care of, by jobs of its own."""
    jobs = OverviewJobs()
    monkeypatch.setattr(_overview_job, "_jobs", lambda: jobs)
    watch_viewer(viewer)
    yield viewer
    viewer.layers.clear()
    assert not THREADS & {thread.name for thread in threading.enumerate()}
    assert not jobs._entries
    assert not jobs._timer.isActive()
    jobs._timer.deleteLater()


def add(viewer, levels, *, rgb=False, name="image", **kwargs):
    display = make_display(levels, rgb=rgb, name=name)
    layer = viewer.add_image(display.levels, multiscale=True, rgb=rgb, **kwargs)
    return layer, display


@pytest.mark.gui
def test_overview_appears_on_the_canvas(watched, messages, qtbot):
    level = Level((9000, 7000, 3), rgb=True)
    layer, display = add(watched, [level], rgb=True)

    qtbot.waitUntil(lambda: not display.needs_pass, timeout=60_000)
    qtbot.wait(300)
    watched.reset_view()
    qtbot.wait(300)
    shot = watched.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)

    rows, columns = shot.shape[:2]
    assert shot[rows // 2, columns // 2].min() >= 20  # the image, not the background
    # It gets brighter from the upper left to the lower right.
    assert (
        shot[rows * 3 // 4, columns * 5 // 8] > shot[rows // 4, columns * 3 // 8]
    ).all()
    assert layer.thumbnail[..., :3].max() > 0
    (note,) = messages
    assert note[0] == "info"
    assert "no small levels" in note[1]
    assert max(level.reads, default=0) <= MAX_READ_BYTES


@pytest.mark.gui
def test_an_opened_store_gets_its_overview(watched, messages, qtbot, write_soma):
    shape = (3, 4700, 5100)
    ramp = np.add.outer(np.arange(shape[1]) // 50, np.arange(shape[2]) // 50)
    pixels = np.stack([ramp, ramp // 2, 200 - ramp]).astype(np.uint8)
    uri = write_soma([pixels])

    (layer,) = watched.open(uri, plugin="napari-msimage")
    display = display_of(layer)
    qtbot.waitUntil(lambda: not display.needs_pass, timeout=60_000)
    overview = np.asarray(layer.data[-1])

    assert "no small levels" in messages[0][1]
    assert layer.level_shapes[0].tolist() == [4700, 5100]
    n, m = overview.shape[:2]
    rows = ((np.arange(n) + 0.5) * shape[1] / n).astype(int)
    columns = ((np.arange(m) + 0.5) * shape[2] / m).astype(int)
    expected = pixels[:, rows][:, :, columns].transpose(1, 2, 0).astype(int)
    assert np.abs(overview - expected).max() <= 1
    watched.layers.clear()


@pytest.mark.gui
def test_closing_the_window_by_its_button_ends_the_work(watched, messages, qtbot):
    level = Level((32768, 32768))
    level.pause = 0.02
    add(watched, [level])
    qtbot.wait(200)
    assert THREADS & {thread.name for thread in threading.enumerate()}

    # What Qt tells when it deletes the window, which pytest-qt would not survive.
    _overview_job._watchers[watched].detach_all()

    assert not THREADS & {thread.name for thread in threading.enumerate()}


@pytest.mark.gui
def test_missing_tiles_are_refreshed_once_they_are_made(watched, messages, qtbot):
    levels = [Level((8192, 8192)), Level((512, 512))]
    layer, display = add(watched, levels, contrast_limits=(0, 255))
    n_slicings = 0

    def count():
        nonlocal n_slicings
        n_slicings += 1

    layer.events.set_data.connect(count)
    watched.scene.camera.zoom = 0.3
    watched.scene.camera.center = (4096, 4096)
    qtbot.wait(1500)

    assert not display.plans[layer.data_level].is_stored
    window = tuple((int(low), int(high) + 1) for low, high in layer.corner_pixels.T)
    shown = np.asarray(layer._slice.image.raw)
    exact = display.read(layer.data_level, window)  # a test is no viewer
    np.testing.assert_array_equal(shown, exact)
    settled = n_slicings
    qtbot.wait(700)
    assert n_slicings == settled


@pytest.mark.gui
def test_removing_the_layer_ends_the_work_at_once(watched, messages, qtbot):
    level = Level((32768, 32768))
    level.pause = 0.05
    layer, display = add(watched, [level])
    qtbot.waitUntil(lambda: len(threading.enumerate()) > 1)
    qtbot.wait(200)

    start = time.monotonic()
    watched.layers.remove(layer)
    elapsed = time.monotonic() - start

    assert not THREADS & {thread.name for thread in threading.enumerate()}
    assert elapsed < 3  # usually a tenth of a second
    assert display.needs_pass


@pytest.mark.gui
def test_a_layer_that_comes_back_is_filled(watched, messages, qtbot):
    layer, display = add(watched, [Level((8000, 8000))])
    watched.layers.remove(layer)

    watched.layers.append(layer)
    qtbot.waitUntil(lambda: not display.needs_pass, timeout=60_000)

    assert np.asarray(display.levels[-1]).min() >= 20


@pytest.mark.gui
def test_invisible_layers_wait_until_they_are_shown(watched, messages, qtbot):
    layer, display = add(watched, [Level((6000, 6000))], visible=False)
    qtbot.wait(300)
    assert display.needs_pass
    assert messages == []

    layer.visible = True
    qtbot.waitUntil(lambda: not display.needs_pass, timeout=60_000)

    assert len(messages) == 1


@pytest.mark.gui
def test_channels_of_one_image_share_a_note(watched, messages, qtbot):
    displays = [add(watched, [Level((6000, 6000))], name="tissue")[1] for _ in range(3)]

    qtbot.waitUntil(lambda: not any(d.needs_pass for d in displays), timeout=60_000)

    assert len(messages) == 1
    assert "'tissue' has no small levels" in messages[0][1]


@pytest.mark.gui
def test_contrast_limits_are_renewed_from_the_overview(watched, messages, qtbot):
    display = make_display([Level((9000, 9000), "uint16")], rgb=False, name="image")
    sampled = starting_contrast_limits(display)
    kwargs = {"multiscale": True, "contrast_limits": sampled}
    kept = watched.add_image(display.levels, **kwargs)
    changed = watched.add_image(display.levels, **kwargs)
    changed.contrast_limits = (3, 99)

    qtbot.waitUntil(lambda: not display.needs_pass, timeout=60_000)
    qtbot.wait(300)

    assert sampled[0] < sampled[1]
    low, high = np.percentile(np.asarray(display.levels[-1]), (0.1, 99.9))
    assert kept.contrast_limits == pytest.approx([low, high])
    assert changed.contrast_limits == [3, 99]


@pytest.mark.gui
def test_locking_a_huge_level_is_undone_with_a_message(watched, messages, qtbot):
    level = Level((32768, 32768, 3), rgb=True)
    layer, _ = add(watched, [level], rgb=True)
    level.reads.clear()

    layer.locked_data_level = 0
    qtbot.wait(300)

    assert layer.locked_data_level is None
    assert sum(level.reads) <= MAX_READ_BYTES
    warnings = [text for severity, text in messages if severity == "warning"]
    assert len(warnings) == 1
    assert "3.0 GiB" in warnings[0]
    assert "up to 64 MiB" in warnings[0]
    layer.locked_data_level = 3
    assert layer.locked_data_level == 3


@pytest.mark.gui
def test_locking_a_huge_level_in_3d_shows_the_finest_that_fits(
    watched, messages, qtbot
):
    level = Level((100, 6000, 5000), "uint16")
    layer, display = add(watched, [level], contrast_limits=(0, 255))
    watched.dims.ndisplay = 3
    qtbot.wait(300)

    # napari refuses textures this large itself; then the guard comes second.
    with contextlib.suppress(ValueError):
        layer.locked_data_level = 0
    display._tell(DisplayChange("made", 1))  # a tile that was on its way
    qtbot.waitUntil(lambda: bool(layer.locked_data_level))

    shape = display.plans[layer.locked_data_level].shape
    assert max(shape) <= 2048
    assert math.prod(shape) * 2 <= MAX_READ_BYTES
    assert max(level.reads, default=0) <= MAX_READ_BYTES


@pytest.mark.gui
def test_a_store_that_fails_is_told_and_napari_lives(watched, messages, qtbot):
    level = Level((20000, 20000))
    level.fails = True
    add(watched, [level])

    qtbot.waitUntil(lambda: any(s == "warning" for s, _ in messages), timeout=20_000)
    qtbot.wait(500)

    warnings = [text for severity, text in messages if severity == "warning"]
    assert warnings == ["Making small levels of 'image' stopped: the disk is gone"]


@pytest.mark.gui
def test_new_data_ends_the_work_on_the_old(watched, messages, qtbot):
    old = Level((32768, 32768))
    old.pause = 0.02
    layer, display = add(watched, [old], contrast_limits=(0, 255))
    new = make_display([Level((5000, 5000))], rgb=False, name="new")

    layer.data = new.levels
    qtbot.waitUntil(lambda: not new.needs_pass, timeout=60_000)

    assert display.needs_pass
    assert not display._listeners


@pytest.mark.gui
def test_progress_bar_comes_and_goes(watched, messages, qtbot):
    from napari.utils import progress

    level = Level((16384, 16384))
    level.pause = 0.05
    _, display = add(watched, [level])

    qtbot.waitUntil(lambda: len(progress._all_instances) == 1, timeout=20_000)
    (bar,) = progress._all_instances
    qtbot.waitUntil(lambda: not display.needs_pass, timeout=60_000)
    qtbot.waitUntil(lambda: not progress._all_instances, timeout=20_000)

    assert "Overview of image" in bar.desc
    assert bar.total == 16


@pytest.mark.gui
def test_the_window_stays_alive_while_the_overview_is_made(watched, messages, qtbot):
    from qtpy.QtCore import QTimer

    gaps = []
    last = time.perf_counter()

    def tick():
        nonlocal last
        now = time.perf_counter()
        gaps.append(now - last)
        last = now

    timer = QTimer()
    timer.timeout.connect(tick)
    timer.start(10)
    level = Level((16384, 16384))
    level.pause = 0.1
    _, display = add(watched, [level])
    last = time.perf_counter()
    qtbot.wait(1500)
    timer.stop()

    # Each block of the pass takes 0.1 s and more; none of that in the window.
    assert display.needs_pass
    assert len(gaps) > 20
    assert sorted(gaps)[len(gaps) // 2] < 0.05


def test_importing_the_job_imports_neither_napari_nor_qt():
    import subprocess

    code = (
        "import sys, napari_msimage.plugin._overview_job;"
        "sys.exit(any(m in sys.modules for m in ('napari', 'qtpy', 'dask')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
