"""The table of levels to export: shape, pixel size, memory and file size of each."""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .._export_preview import ExportRow

_COLUMNS: Final = ("Level", "Shape", "Pixels", "Each", "Memory", "File")
_HELP: Final = (
    "What an export of the region takes at each level: its shape without channels, "
    "the number of pixels and the size of each one, bytes in memory, and roughly the "
    "size of the file. Click on a level, or go to it by arrow keys, to choose it."
)
#: Columns that are left out first where there is no room: what others tell too.
_SPARE: Final = (2, 4)
_TIMES: Final = "\u00d7"
_MIN_ROWS_SHOWN, _MAX_ROWS_SHOWN = 3, 8
_ROW_HEIGHT: Final = 22
#: Red, green, blue and opacity, on dark and on light themes.
_CHOSEN: Final = (80, 120, 220, 110)
_DIMMED: Final = (140, 140, 140, 255)
#: A frame of its own, so that focus by keyboard can be seen on any theme.
_FOCUS: Final = (
    "QTableWidget { border: 1px solid transparent; }"
    "QTableWidget:focus { border: 1px solid rgb(80, 120, 220); }"
)
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
        Called with the index of a level that was chosen.
    """

    def __init__(self, on_click: Callable[[int], object]) -> None:
        from qtpy.QtWidgets import QAbstractItemView, QHeaderView

        table: Any = _table_type()(self._fit_columns, self._on_key)
        table.setColumnCount(len(_COLUMNS))
        table.setObjectName("msimage-export-levels")
        table.setHorizontalHeaderLabels(_COLUMNS)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        table.setShowGrid(False)
        table.setWordWrap(False)
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setMinimumSectionSize(24)
        table.setToolTip(_HELP)
        table.setStyleSheet(_FOCUS)
        table.cellClicked.connect(lambda row, _: self._choose(row))
        self.native = table
        self.rows: tuple[ExportRow, ...] = ()
        self.chosen: int | None = None
        """Index of the row that stands out."""
        self._on_click = on_click
        self._units: tuple[str | None, ...] = ()
        self._looks: list[tuple[Any, ...]] = []
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
        self.rows, self.chosen, self._units = tuple(rows), chosen, tuple(units)
        if self.native.rowCount() != len(rows):
            self.native.setRowCount(len(rows))
            self._looks = []
            self._fit()
        before = self._looks
        self._looks = [self._look_of(number) for number in range(len(rows))]
        for number, look in enumerate(self._looks):
            if not before or look != before[number]:
                self._show_row(number, *look)
        if [look[0] for look in self._looks] != [look[0] for look in before]:
            self._fit_columns()

    def name_axes(self, order: Sequence[str]) -> None:
        """Name the axes of the shapes, data axis order; () for none."""
        names = ", ".join(name.removeprefix("soma_") for name in order)
        title = f"Shape ({names})" if names else "Shape"
        item = self.native.horizontalHeaderItem(1)
        if item.text() != title:
            item.setText(title)
            self._fit_columns()

    def texts(self) -> list[tuple[str, ...]]:
        """Return what the cells say, row by row."""
        return [look[0] for look in self._looks]

    def _choose(self, number: int) -> None:
        """Let a row stand out at once, and tell."""
        self.show(self.rows, number, self._units)
        self.native.scrollToItem(self.native.item(number, 0))
        self._on_click(number)

    def _on_key(self, key: Any) -> bool:
        """Go up and down; return whether that is what a key does."""
        from qtpy.QtCore import Qt

        last, chosen = len(self.rows) - 1, self.chosen
        targets = {
            Qt.Key.Key_Up: last if chosen is None else max(chosen - 1, 0),
            Qt.Key.Key_Down: 0 if chosen is None else min(chosen + 1, last),
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: last,
        }
        if key not in targets or not self.rows:
            return False
        if targets[key] != chosen:
            self._choose(targets[key])
        return True

    # What it looks like

    def _look_of(self, number: int) -> tuple[Any, ...]:
        """Return the texts of a row, its help, and whether it is dimmed or chosen."""
        row = self.rows[number]
        texts = texts_of(row, self._units)
        _, shape, n_pixels, _, memory, file = texts
        size = sides_in_words(row.pixel_size, self._units)
        help_text = row.refusal or (
            f"{row.key}: {shape}, {n_pixels} pixels of {size}; {memory} in memory"
            + (f", a file of {file}" if file else "")
        )
        return texts, help_text, row.refusal is not None, number == self.chosen

    def _show_row(
        self, number: int, texts: Sequence[str], help_text: str, dims: bool, fills: bool
    ) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QTableWidgetItem

        for column, text in enumerate(texts):
            item = self.native.item(number, column)
            if item is None:
                item = QTableWidgetItem()
                if column > 1:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.native.setItem(number, column, item)
            item.setText(text)
            item.setToolTip(help_text)
            background = _brush(_CHOSEN if fills else None)
            item.setData(Qt.ItemDataRole.BackgroundRole, background)
            # without a colour of their own, cells follow the theme
            foreground = _brush(_DIMMED if dims else None)
            item.setData(Qt.ItemDataRole.ForegroundRole, foreground)

    def _fit(self) -> None:
        """Be as high as the rows are, within reason."""
        n_rows = self.native.rowCount()
        shown = min(max(n_rows, _MIN_ROWS_SHOWN), _MAX_ROWS_SHOWN)
        header = self.native.horizontalHeader().sizeHint().height()
        self.native.setFixedHeight(header + shown * _ROW_HEIGHT + 4)

    def _fit_columns(self) -> None:
        """Make columns as wide as their texts, and leave some out where room is short.

        What is left over goes to the shapes.
        """
        table, header = self.native, self.native.horizontalHeader()
        columns = range(len(_COLUMNS))
        for column in _SPARE:  # else they have no size
            header.setSectionHidden(column, False)
        widths = [
            max(table.sizeHintForColumn(column), header.sectionSizeHint(column))
            for column in columns
        ]
        left = table.viewport().width() - sum(widths)
        for column in _SPARE:
            if left < 0:
                header.setSectionHidden(column, True)
                left += widths[column]
        widths[1] += max(left, 0)
        for column in columns:
            if not header.isSectionHidden(column):
                header.resizeSection(column, widths[column])


@functools.cache
def _table_type() -> Any:
    """Return a table that tells when it gets another width, and what keys it gets."""
    from qtpy.QtWidgets import QTableWidget

    class Table(QTableWidget):
        def __init__(
            self, on_resize: Callable[[], object], on_key: Callable[[Any], bool]
        ) -> None:
            super().__init__()
            self._on_resize = weakref.WeakMethod(on_resize)
            self._on_key = weakref.WeakMethod(on_key)

        def resizeEvent(self, event: Any) -> None:
            super().resizeEvent(event)
            on_resize = self._on_resize()
            if on_resize is not None and event.size() != event.oldSize():
                on_resize()

        def keyPressEvent(self, event: Any) -> None:
            on_key = self._on_key()
            if on_key is None or not on_key(event.key()):
                super().keyPressEvent(event)

    return Table


def _brush(color: tuple[int, int, int, int] | None) -> Any:
    from qtpy.QtGui import QBrush, QColor

    return None if color is None else QBrush(QColor(*color))


def texts_of(row: ExportRow, units: Sequence[str | None]) -> tuple[str, ...]:
    """Return the cells of a row."""
    from ...engines import bytes_in_words

    first, *others = row.shapes
    shape = _TIMES.join(map(str, first))
    if others:
        is_same = all(other == first for other in others)
        shape = (
            f"{len(row.shapes)} of {shape}" if is_same else f"{len(row.shapes)} regions"
        )
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
    """Return the size of a pixel within a plane as text: of the last two axes."""
    return sides_in_words(sizes[-2:], units[-2:])


def sides_in_words(sizes: Sequence[float], units: Sequence[str | None]) -> str:
    """Return the sides of a pixel as text, once if all are alike."""
    names = [symbol(unit) for unit in (*units, *(None,) * len(sizes))][: len(sizes)]
    numbers = [_number_in_words(size) for size in sizes]
    sides = [f"{number} {name}" for number, name in zip(numbers, names, strict=True)]
    if len(set(sides)) == 1:
        return sides[0]
    if len(set(names)) == 1:
        return f"{_TIMES.join(numbers)} {names[0]}"
    return f" {_TIMES} ".join(sides)


def _number_in_words(number: float) -> str:
    """Return a number of three digits, of more only before the point."""
    text = f"{number:.3g}"
    return f"{number:.0f}" if "e+" in text and number < 1e6 else text


def symbol(unit: str | None) -> str:
    """Return the short name of a unit; None are pixels."""
    return _SYMBOLS.get(unit or "pixel", unit or "px")


def unit_in_words(level: Any, units: Sequence[str | None]) -> str:
    """Return what the number beside the level counts."""
    if level == "pixels":
        return "pixels per region"
    return f"{symbol(units[-1])}/pixel"
