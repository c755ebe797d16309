"""No window here: an application left by other tests must not get the notices."""

from __future__ import annotations

import pytest

from napari_msimage.plugin import _notices


@pytest.fixture(autouse=True)
def without_window(monkeypatch):
    monkeypatch.setattr(_notices, "has_window", lambda: False)
