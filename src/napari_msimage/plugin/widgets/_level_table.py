"""The table of an image's levels: those that are there, and those to be made."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ...engines import LevelPlan, StorePlan

_COLUMNS: Final = ("Level", "Shape", "Size", "")
_COLUMNS_WITH_TILES: Final = ("Level", "Shape", "Tiles", "Size", "")
_HELP: Final = (
    "The image's levels: those that are there (dimmed), and those to be made. "
    "Sizes are those of all pixels, uncompressed: the most a level can take."
)
#: States that need no word.
_PLAIN: Final = ("there", "given", "image")
_MIN_ROWS_SHOWN, _MAX_ROWS_SHOWN = 3, 8
_ROW_HEIGHT: Final = 22


@dataclasses.dataclass(frozen=True, slots=True)
class LevelRow:
    """One row: a level, finest first; or the image that the next levels are of."""

    key: str
    """Its name."""
    shape: tuple[int, ...]
    """Data axis order."""
    nbytes: int
    """Bytes of all pixels, uncompressed."""
    state: str
    """Whether it is ``"there"``, ``"new"``, or to be made ``"anew"``; whether a level
    to be saved is ``"given"`` or ``"made"``; or that this is an ``"image"``."""
    tiles: tuple[int, ...] = ()
    """Tile extents, data axis order."""

    @property
    def shape_in_words(self) -> str:
        """The shape as text."""
        return " x ".join(map(str, self.shape))

    @property
    def tiles_in_words(self) -> str:
        """The tile extents as text."""
        return " x ".join(map(str, self.tiles))


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


def rows_of_store(plan: StorePlan) -> list[LevelRow]:
    """Return the levels of all images to be saved; several ones with their names."""
    rows = []
    for name, image in plan.images.items():
        if name:
            axes = ", ".join(axis.removeprefix("soma_") for axis in image.axis_names)
            title = f"{name}: {image.dtype}, {axes}"
            rows.append(LevelRow(title, (), image.nbytes, "image"))
        rows += [
            LevelRow(
                level.key,
                level.shape,
                level.nbytes,
                "given" if number < image.n_given else "made",
                level.tile_extents,
            )
            for number, level in enumerate(image.levels)
        ]
    return rows


class LevelTable:
    """Shows rows; the widget is ``native``.

    Parameters
    ----------
    has_tiles : bool
        Whether there is a column for tile extents.
    tooltip : str
        Help.
    """

    def __init__(self, *, has_tiles: bool = False, tooltip: str = _HELP) -> None:
        from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget

        self._columns = _COLUMNS_WITH_TILES if has_tiles else _COLUMNS
        table: Any = QTableWidget(0, len(self._columns))
        table.setObjectName("msimage-levels")
        table.setHorizontalHeaderLabels(self._columns)
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
        table.setToolTip(tooltip)
        self.native = table
        self.rows: list[LevelRow] = []
        self._fit()

    def show(self, rows: list[LevelRow]) -> None:
        """Show other rows."""
        self.rows = rows
        self.native.clearSpans()
        self.native.setRowCount(len(rows))
        for number, row in enumerate(rows):
            if row.state == "image":
                self._show_image(number, row)
            else:
                self._show_level(number, row)
        self._fit()

    def name_axes(self, order: tuple[str, ...]) -> None:
        """Name the axes of the shapes, data axis order; () for none."""
        names = ", ".join(name.removeprefix("soma_") for name in order)
        title = f"Shape ({names})" if names else "Shape"
        self.native.horizontalHeaderItem(1).setText(title)

    def _show_level(self, number: int, row: LevelRow) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QTableWidgetItem

        from ...engines import bytes_in_words

        size = bytes_in_words(row.nbytes)
        texts = {
            "Level": row.key,
            "Shape": row.shape_in_words,
            "Tiles": row.tiles_in_words,
            "Size": size,
            "": "" if row.state in _PLAIN else row.state,
        }
        for column, title in enumerate(self._columns):
            item: Any = QTableWidgetItem(texts[title])
            item.setToolTip(f"{row.key}: {row.shape_in_words}, {size}")
            if row.state == "there":
                item.setForeground(self._dimmed())
            if title == "Size":
                item.setTextAlignment(
                    Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                )
            self.native.setItem(number, column, item)

    def _show_image(self, number: int, row: LevelRow) -> None:
        from qtpy.QtCore import QSize
        from qtpy.QtWidgets import QTableWidgetItem

        item: Any = QTableWidgetItem(row.key)
        item.setToolTip(row.key)
        item.setSizeHint(QSize(0, _ROW_HEIGHT))  # else it would widen the first column
        font = item.font()
        font.setBold(True)
        item.setFont(font)
        self.native.setItem(number, 0, item)
        self.native.setSpan(number, 0, 1, len(self._columns))

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
