"""Examples in docstrings of the room run."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["_axes", "_boxes", "_json", "_regions"])
def test_examples_are_right(name):
    module = importlib.import_module(f"napari_msimage.coordinates.{name}")
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0
