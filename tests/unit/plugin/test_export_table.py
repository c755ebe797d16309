"""The texts of the table of levels."""

from __future__ import annotations

import pytest

from napari_msimage.plugin._export_preview import ExportRow
from napari_msimage.plugin.widgets._export_table import (
    sides_in_words,
    size_in_words,
    texts_of,
)

X = "\u00d7"


def row(*shapes, pixel_size=(1.0, 1.0)):
    return ExportRow("level0", shapes, pixel_size, 2048, 1024)


@pytest.mark.parametrize(
    ("sizes", "units", "text", "all_sides"),
    [
        ((0.5, 0.5), (None, None), "0.5 px", "0.5 px"),
        ((1000, 1000), (None, None), "1000 px", "1000 px"),
        ((12_345.6, 999.9), (None, None), f"12346{X}1000 px", f"12346{X}1000 px"),
        ((1e7, 1e7), ("nm", "nm"), "1e+07 nm", "1e+07 nm"),
        ((1e-5, 1e-5), ("m", "m"), "1e-05 m", "1e-05 m"),
        (
            (2.5, 0.325, 0.325),
            ("micrometer",) * 3,
            "0.325 µm",
            f"2.5{X}0.325{X}0.325 µm",
        ),
        ((2, 1), ("s", "micrometer"), f"2 s {X} 1 µm", f"2 s {X} 1 µm"),
    ],
)
def test_pixel_sizes_are_short(sizes, units, text, all_sides):
    assert size_in_words(sizes, units) == text
    assert sides_in_words(sizes, units) == all_sides


def test_shapes_are_short():
    assert texts_of(row((20, 100, 120)), (None,) * 3)[1] == f"20{X}100{X}120"
    assert texts_of(row((10, 12), (10, 12)), (None,) * 2)[1] == f"2 of 10{X}12"
    assert texts_of(row((10, 12), (10, 13)), (None,) * 2)[1:3] == ("2 regions", "250")
