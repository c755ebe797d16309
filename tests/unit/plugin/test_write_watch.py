"""Layers that change or go while they are written: an error, and nothing is left."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_msimage import write_layers
from napari_msimage.errors import SaveError
from napari_msimage.plugin._open import OpenRequest, add_layers, read_layers

RNG = np.random.default_rng(11)


def noise(*shape, dtype="uint8"):
    return RNG.integers(0, 200, shape).astype(dtype)


def reopened(uri):
    """Return the layers of a store in a viewer without a window."""
    return add_layers(ViewerModel(), read_layers(OpenRequest(uri)))


def lazy_noise():
    return da.from_array(noise(1500, 1500), chunks=500)


def at_half(action):
    """Return a listener to the progress that does something once, in the middle."""
    done = []

    def report(progress):
        if progress.done and not done:
            done.append(progress)
            action()

    return report


CHANGES = {
    "data": (lambda layer: setattr(layer, "data", lazy_noise()), "got other pixels"),
    "shape": (lambda layer: setattr(layer, "data", noise(9, 9)), "got other pixels"),
    "told": (lambda layer: layer.events.data(value=None), "got other pixels"),
    "scale": (lambda layer: setattr(layer, "scale", (2, 3)), "got another transform"),
    "affine": (
        lambda layer: setattr(layer, "affine", np.diag([2, 1, 1])),
        "got another transform",
    ),
    "units": (lambda layer: setattr(layer, "units", ("um", "um")), "got other units"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_layer_that_changes_while_it_is_written_is_not_written(tmp_path, change):
    action, problem = CHANGES[change]
    layer = Image(lazy_noise(), name="a")
    uri = str(tmp_path / "a.soma")
    with pytest.raises(SaveError, match=f"'a' {problem} while it was .* Save again"):
        write_layers(uri, layer, progress=at_half(lambda: action(layer)))
    assert list(tmp_path.iterdir()) == []
    write_layers(uri, layer)


def test_levels_that_change_while_they_are_written_are_not_written(tmp_path):
    levels = [noise(900, 900), noise(300, 300)]
    layer = Image(levels, name="a", multiscale=True)
    other = [levels[0], noise(300, 300)]
    with pytest.raises(SaveError, match="got other pixels"):
        write_layers(
            tmp_path / "a.soma",
            layer,
            progress=at_half(lambda: setattr(layer, "data", other)),
        )
    assert list(tmp_path.iterdir()) == []


def test_labels_that_are_painted_while_they_are_written_are_not_written(tmp_path):
    layer = Labels(noise(900, 900, dtype="int32"), name="a")
    with pytest.raises(SaveError, match="labels layer 'a' got other pixels"):
        write_layers(
            tmp_path / "a.soma",
            layer,
            progress=at_half(lambda: layer.paint((5, 5), 77)),
        )
    assert list(tmp_path.iterdir()) == []


def test_a_layer_that_is_removed_while_it_is_written_is_not_written(tmp_uri, tmp_path):
    write_layers(tmp_uri, Image(noise(9, 13), name="before"))
    viewer = ViewerModel()
    viewer.add_image(lazy_noise(), name="a")
    viewer.add_image(noise(9, 9), name="b")
    with pytest.raises(SaveError, match="'b' was removed while it was being saved"):
        write_layers(
            tmp_uri,
            viewer.layers,
            replace=True,
            progress=at_half(lambda: viewer.layers.remove("b")),
        )
    assert [path.name for path in tmp_path.iterdir()] == [Path(tmp_uri).name]
    assert reopened(tmp_uri)[0].name == "before"


def test_a_change_just_before_the_end_counts(tmp_path):
    layer = Image(noise(9, 13), name="a")

    def report(progress):
        if progress.done == progress.total:
            layer.translate = (1, 1)

    with pytest.raises(SaveError, match="another transform"):
        write_layers(tmp_path / "a.soma", layer, progress=report)
    assert list(tmp_path.iterdir()) == []


def test_looks_may_change_while_a_layer_is_written(tmp_uri):
    layer = Image(lazy_noise(), name="a", colormap="red")

    def change():
        layer.name, layer.colormap, layer.visible = "b", "blue", False

    write_layers(tmp_uri, layer, progress=at_half(change))
    assert reopened(tmp_uri)[0].colormap.name == "red"
    assert reopened(tmp_uri)[0].name == "a"


def test_a_written_layer_is_let_go(tmp_uri):
    layer = Image(noise(9, 13), name="a")
    before = len(layer.events.data.callbacks)
    write_layers(tmp_uri, layer)
    assert len(layer.events.data.callbacks) == before
