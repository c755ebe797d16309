"""The table of levels to export: shape, pixel size, memory and file size of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .._export_preview import ExportRow

_COLUMNS: Final = ("Level", "Shape", "Pixels", "Each", "Memory", "File")
_HELP: Final = (
    "What an export of the region takes at each level: its shape without channels, "
    "the number of pixels and the size of each one, bytes in memory, and roughly the "
    "size of the file. Click on a level to choose it."
)
_MIN_ROWS_SHOWN, _MAX_ROWS_SHOWN = 3, 8
_ROW_HEIGHT: Final = 22
#: Red, green, blue and opacity, on dark and on light themes.
_CHOSEN: Final = (80, 120, 220, 110)
_DIMMED: Final = (140, 140, 140, 255)
_THOUSANDS: Final = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
#: Short names of units that images often have.
_SYMBOLS: Final = {
    "pixel": "px",
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "micron": "µm",
    "second": "s",
    "millisecond": "ms",
}


class ExportTable:
    """Shows rows; the widget is ``native``.

    Parameters
    ----------
    on_click : callable
        Called with the index of a level that was clicked on.
    """

    def __init__(self, on_click: Callable[[int], object]) -> None:
        from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget

        table: Any = QTableWidget(0, len(_COLUMNS))
        table.setObjectName("msimage-export-levels")
        table.setHorizontalHeaderLabels(_COLUMNS)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        table.setShowGrid(False)
        table.setWordWrap(False)
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(24)
        table.setToolTip(_HELP)
        table.cellClicked.connect(lambda row, _: on_click(row))
        self.native = table
        self.rows: tuple[ExportRow, ...] = ()
        self.chosen: int | None = None
        """Index of the row that stands out."""
        self._texts: list[tuple[str, ...]] = []
        self._fit()

    def show(
        self,
        rows: Sequence[ExportRow],
        chosen: int | None = None,
        units: Sequence[str | None] = (),
    ) -> None:
        """Show other rows.

        Parameters
        ----------
        rows : sequence of ExportRow
            Finest level first.
        chosen : int, optional
            The one that is exported.
        units : sequence of str or None
            Of the pixel sizes, per spatial axis.
        """
        texts = [texts_of(row, units) for row in rows]
        is_same = texts == self._texts and chosen == self.chosen
        self.rows, self.chosen, self._texts = tuple(rows), chosen, texts
        if is_same:
            return  # while the view moves within an image's edges
        if self.native.rowCount() != len(rows):
            self.native.setRowCount(len(rows))
            self._fit()
        for number, row in enumerate(rows):
            self._show_row(number, row)

    def name_axes(self, order: Sequence[str]) -> None:
        """Name the axes of the shapes, data axis order; () for none."""
        names = ", ".join(name.removeprefix("soma_") for name in order)
        title = f"Shape ({names})" if names else "Shape"
        item = self.native.horizontalHeaderItem(1)
        if item.text() != title:
            item.setText(title)

    def texts(self) -> list[tuple[str, ...]]:
        """Return what the cells say, row by row."""
        return list(self._texts)

    def _show_row(self, number: int, row: ExportRow) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QTableWidgetItem

        _, shape, n_pixels, size, memory, file = self._texts[number]
        help_text = row.refusal or (
            f"{row.key}: {shape}, {n_pixels} pixels of {size}; {memory} in memory"
            + (f", a file of {file}" if file else "")
        )
        for column, text in enumerate(self._texts[number]):
            item = self.native.item(number, column)
            if item is None:
                item = QTableWidgetItem()
                self.native.setItem(number, column, item)
            item.setText(text)
            item.setToolTip(help_text)
            background = _CHOSEN if number == self.chosen else None
            item.setData(Qt.ItemDataRole.BackgroundRole, _brush(background))
            # without a colour of their own, cells follow the theme
            foreground = _DIMMED if row.refusal is not None else None
            item.setData(Qt.ItemDataRole.ForegroundRole, _brush(foreground))
            if column > 1:
                item.setTextAlignment(
                    Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                )

    def _fit(self) -> None:
        """Be as high as the rows are, within reason."""
        n_rows = self.native.rowCount()
        shown = min(max(n_rows, _MIN_ROWS_SHOWN), _MAX_ROWS_SHOWN)
        header = self.native.horizontalHeader().sizeHint().height()
        self.native.setFixedHeight(header + shown * _ROW_HEIGHT + 4)


def _brush(color: tuple[int, int, int, int] | None) -> Any:
    from qtpy.QtGui import QBrush, QColor

    return None if color is None else QBrush(QColor(*color))


def texts_of(row: ExportRow, units: Sequence[str | None]) -> tuple[str, ...]:
    """Return the cells of a row."""
    from ...engines import bytes_in_words

    first, *others = row.shapes
    shape = " x ".join(map(str, first))
    if others:
        is_same = all(other == first for other in others)
        shape = f"{len(row.shapes)} regions" + (f" of {shape}" if is_same else "")
    return (
        row.key,
        shape,
        count_in_words(sum(math.prod(shape) for shape in row.shapes)),
        size_in_words(row.pixel_size, units),
        bytes_in_words(row.nbytes),
        "" if row.file_bytes is None else f"~{bytes_in_words(row.file_bytes)}",
    )


def count_in_words(number: int) -> str:
    """Return a number of pixels as text of few digits."""
    if number < 10_000:
        return str(number)
    for name in ("k", "M", "G"):
        number_in = number / _THOUSANDS[name]
        if number_in < 999.5:
            return f"{number_in:.3g} {name}"
    return f"{number / _THOUSANDS['T']:.3g} T"


def size_in_words(sizes: Sequence[float], units: Sequence[str | None]) -> str:
    """Return the size of a pixel as text, once if all its sides are alike."""
    names = [symbol(unit) for unit in (*units, *(None,) * len(sizes))]
    sides = [f"{size:.3g} {name}" for size, name in zip(sizes, names, strict=False)]
    if len(set(sides)) == 1:
        return sides[0]
    if len(set(names[: len(sizes)])) == 1:
        numbers = " x ".join(f"{size:.3g}" for size in sizes)
        return f"{numbers} {names[0]}"
    return " x ".join(sides)


def symbol(unit: str | None) -> str:
    """Return the short name of a unit; None are pixels."""
    return _SYMBOLS.get(unit or "pixel", unit or "px")


def unit_in_words(level: Any, units: Sequence[str | None]) -> str:
    """Return what the number beside the level counts."""
    if level == "pixels":
        return "pixels per region"
    return f"{symbol(units[-1])}/pixel"
