"""The table of an image's levels: those that are there, and those to be made."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ...engines import LevelPlan

_HEADER: Final = ("Level", "Shape", "Size", "")
_MIN_ROWS_SHOWN, _MAX_ROWS_SHOWN = 3, 8
_ROW_HEIGHT: Final = 22


@dataclasses.dataclass(frozen=True, slots=True)
class LevelRow:
    """One row: a level, finest first."""

    key: str
    """Its name."""
    shape: tuple[int, ...]
    """Data axis order."""
    nbytes: int
    """Bytes of all pixels, uncompressed."""
    state: str
    """Whether it is ``"there"``, ``"new"``, or to be made ``"anew"``."""

    @property
    def shape_in_words(self) -> str:
        """The shape as text."""
        return " x ".join(map(str, self.shape))


def rows_of(
    existing: tuple[tuple[str, tuple[int, ...]], ...],
    itemsize: int,
    plan: LevelPlan | None,
) -> list[LevelRow]:
    """Return the levels that an image has, and will have, finest first.

    Parameters
    ----------
    existing : tuple of (str, tuple of int)
        Keys and shapes of its levels.
    itemsize : int
        Bytes of a pixel.
    plan : LevelPlan, optional
        What is to be made.
    """
    planned = {level.key: level for level in plan.levels} if plan is not None else {}
    rows = [
        LevelRow(key, shape, math.prod(shape) * itemsize, "there")
        for key, shape in existing
        if key not in planned
    ]
    rows += [
        LevelRow(
            level.key, level.shape, level.nbytes, "anew" if level.replaces else "new"
        )
        for level in planned.values()
    ]
    return sorted(rows, key=lambda row: tuple(-size for size in row.shape))


class LevelTable:
    """Shows rows; the widget is ``native``."""

    def __init__(self) -> None:
        from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget

        table: Any = QTableWidget(0, len(_HEADER))
        table.setObjectName("msimage-levels")
        table.setHorizontalHeaderLabels(_HEADER)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        table.setShowGrid(False)
        table.setWordWrap(False)
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(30)
        table.setToolTip(
            "The image's levels: those that are there (dimmed), and those to be made. "
            "Sizes are those of all pixels, uncompressed: the most a level can take."
        )
        self.native = table
        self.rows: list[LevelRow] = []
        self._fit()

    def show(self, rows: list[LevelRow]) -> None:
        """Show other rows."""
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QTableWidgetItem

        from ...engines import bytes_in_words

        self.rows = rows
        table = self.native
        table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            state = "" if row.state == "there" else row.state
            size = bytes_in_words(row.nbytes)
            for column, text in enumerate((row.key, row.shape_in_words, size, state)):
                item: Any = QTableWidgetItem(text)
                item.setToolTip(f"{row.key}: {row.shape_in_words}, {size}")
                if row.state == "there":
                    item.setForeground(self._dimmed())
                if column == 2:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                table.setItem(number, column, item)
        self._fit()

    def _fit(self) -> None:
        """Be as high as the rows are, within reason."""
        shown = min(max(len(self.rows), _MIN_ROWS_SHOWN), _MAX_ROWS_SHOWN)
        header = self.native.horizontalHeader().sizeHint().height()
        self.native.setFixedHeight(header + shown * _ROW_HEIGHT + 4)

    def _dimmed(self) -> Any:
        from qtpy.QtGui import QColor

        color = QColor(self.native.palette().text().color())
        color.setAlpha(130)
        return color
