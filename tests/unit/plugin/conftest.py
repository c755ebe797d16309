"""No window here: an application left by other tests must not get the notices."""

from __future__ import annotations

import pytest

from napari_msimage.plugin import _notices, _overview_job


@pytest.fixture(autouse=True)
def without_window(monkeypatch):
    # a module first imported meanwhile would keep the substitute for good
    for module in (_notices, _overview_job):
        monkeypatch.setattr(module, "has_window", lambda: False)
