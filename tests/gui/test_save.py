"""File > Save in a real window."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from napari_msimage.errors import AlreadyExistsError, SaveError

pytestmark = pytest.mark.gui

RNG = np.random.default_rng(2)


def noise(*shape, dtype="uint8"):
    return RNG.integers(1, 200, shape).astype(dtype)


@pytest.fixture
def choose(monkeypatch, tmp_path):
    """Answer napari's file dialog; return the offered endings."""
    offered = []

    def answer(*arguments, filter="", **options):
        endings = filter.split(";;")
        offered.extend(endings)
        ours = next(e for e in endings if "SOMA" in e)
        return str(tmp_path / "saved.soma"), ours

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    return offered


def test_all_layers_come_back_from_the_menu(viewer, choose, tmp_path):
    image = viewer.add_image(
        noise(97, 130, dtype="uint16"), name="cells", contrast_limits=(3, 90)
    )
    image.contrast_limits_range = (0, 500)
    labels = viewer.add_labels(noise(97, 130, dtype="int32"), name="nuclei")
    labels.contour = 2
    labels.scale = (2, 3)
    viewer.window._qt_viewer._save_layers_dialog(selected=False)
    assert any("*.soma" in ending for ending in choose)
    viewer.layers.clear()
    found = viewer.open(str(tmp_path / "saved.soma"), plugin="napari-msimage")
    assert [layer.name for layer in found] == ["cells", "nuclei"]
    # what napari's layer tuples lack
    assert found[0].contrast_limits == [3, 90]
    assert found[0].contrast_limits_range == [0, 500]
    assert found[1].contour == 2
    assert tuple(found[1].scale) == (2, 3)


def test_selected_layers(viewer, choose, tmp_path):
    first = viewer.add_image(noise(97, 130), name="a")
    viewer.add_image(noise(9, 130), name="b")
    viewer.layers.selection = {first}
    viewer.window._qt_viewer._save_layers_dialog(selected=True)
    viewer.layers.clear()
    (found,) = viewer.open(str(tmp_path / "saved.soma"), plugin="napari-msimage")
    assert found.name == "a"
    assert tuple(found.translate) == (0, 0)


def test_what_is_wrong_is_one_sentence(viewer, choose, tmp_path):
    viewer.add_points(np.zeros((2, 2)), name="spots")
    with pytest.raises(SaveError, match="None of the layers can be saved: 'spots'"):
        viewer.window._qt_viewer._save_layers_dialog(selected=False)
    viewer.layers.clear()
    viewer.add_image(noise(9, 13))
    (tmp_path / "saved.soma").mkdir()
    with pytest.raises(AlreadyExistsError):
        viewer.window._qt_viewer._save_layers_dialog(selected=False)


@pytest.mark.parametrize("typed", ["cells", "slide 7.svs"])
def test_a_name_without_the_ending_gets_it(viewer, monkeypatch, tmp_path, typed):
    def answer(*arguments, filter="", **options):
        ours = next(e for e in filter.split(";;") if "SOMA" in e)
        return str(tmp_path / typed), ours

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    viewer.add_image(noise(97, 130))
    viewer.window._qt_viewer._save_layers_dialog(selected=False)
    assert [path.name for path in tmp_path.iterdir()] == [f"{typed}.soma"]


@pytest.mark.parametrize("change", ["removed", "moved", "painted"])
def test_a_layer_that_changes_while_it_is_saved(
    viewer, choose, tmp_path, monkeypatch, change
):
    monkeypatch.setattr("napari_msimage.plugin._notices.is_interactive", lambda: True)
    viewer.add_image(da.from_array(noise(4000, 4000), chunks=250), name="cells")
    labels = viewer.add_labels(noise(97, 130, dtype="int32"), name="nuclei")
    actions = {
        "removed": lambda: viewer.layers.remove(labels),
        "moved": lambda: setattr(labels, "translate", (5, 5)),
        "painted": lambda: labels.paint((5, 5), 77),
    }
    QTimer.singleShot(0, actions[change])
    with pytest.raises(SaveError, match=r"'nuclei' .* while it was being saved"):
        viewer.window._qt_viewer._save_layers_dialog(selected=False)
    assert list(tmp_path.iterdir()) == []
    viewer.window._qt_viewer._save_layers_dialog(selected=False)
    assert len(list(tmp_path.iterdir())) == 1
