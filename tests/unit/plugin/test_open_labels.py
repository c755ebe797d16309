"""Labels without small levels: the overview is made of labels, too."""

from __future__ import annotations

import numpy as np
import pytest

from napari_msimage import write_layers
from napari_msimage.plugin._open import OpenRequest, read_layers


@pytest.fixture
def small_limits(monkeypatch):
    """Make images of a few megapixels behave like ones of many gigabytes."""
    pyramid = "napari_msimage.engines._display_pyramid"
    monkeypatch.setattr(f"{pyramid}.MAX_COARSEST_BYTES", 2**14)
    monkeypatch.setattr(f"{pyramid}.MAX_COARSEST_SIDE", 64)
    monkeypatch.setattr(f"{pyramid}.OVERVIEW_SIDE", 32)
    monkeypatch.setattr("napari_msimage.plugin._image_levels._SMALL_SIDE", 64)


@pytest.mark.parametrize("kind", ["labels", "image"])
def test_only_levels_of_labels_hold_stored_values_alone(tmp_uri, small_limits, kind):
    values = np.random.default_rng(1).integers(0, 2, (700, 800), np.uint16) * 1000
    write_layers(tmp_uri, (values, {"name": "a"}, kind), more_levels=False)
    ((levels, _, found),) = read_layers(OpenRequest(tmp_uri))
    assert found == kind
    assert len(levels) > 2
    for level in levels:
        is_stored = np.isin(np.asarray(level), (0, 1000)).all()
        assert is_stored == (kind == "labels" or level is levels[0])
