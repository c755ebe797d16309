"""The list of a viewer's layers with check boxes, top to bottom as in napari."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from .._save_wish import SAVED_TYPES

_MAX_ROWS_SHOWN: Final = 6
_ROW_HEIGHT: Final = 22


def is_saved(layer: Any) -> bool:
    """Tell whether a layer is of a type that can be saved."""
    return layer._type_string in SAVED_TYPES


class LayerList:
    """Shows layers, and which are checked; the widget is ``native``.

    Layers that cannot be saved are dimmed, and cannot be checked.

    Parameters
    ----------
    on_change : callable
        Called when the user checks or unchecks a layer.
    tooltip : str
        Help.
    """

    def __init__(self, on_change: Callable[[], object], tooltip: str) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QAbstractItemView, QListWidget

        box: Any = QListWidget()
        box.setObjectName("msimage-layers")
        box.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        box.setUniformItemSizes(True)
        box.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # names differ at the end
        box.setToolTip(tooltip)
        box.itemChanged.connect(self._on_item)
        self._on_change = on_change
        self._is_showing = False
        self.native = box
        self.tooltip = tooltip
        self.layers: list[Any] = []
        """What is shown, top to bottom."""
        self._fit()

    def show(self, layers: Sequence[Any], checked: Sequence[Any]) -> None:
        """Show other layers; the topmost checked one is in sight.

        Parameters
        ----------
        layers : sequence of napari layers
            Bottom to top.
        checked : sequence of napari layers
            Those of them that are checked.
        """
        self._is_showing = True
        self.native.clear()
        self.layers = list(reversed(layers))
        for layer in self.layers:
            self.native.addItem(self._item_of(layer, is_checked=layer in checked))
        self._fit()
        self._is_showing = False
        rows = [row for row, layer in enumerate(self.layers) if layer in checked]
        if rows:
            self.native.scrollToItem(self.native.item(rows[0]))

    @property
    def checked(self) -> list[Any]:
        """The layers that are checked, bottom to top."""
        from qtpy.QtCore import Qt

        return [
            layer
            for number, layer in reversed(list(enumerate(self.layers)))
            if is_saved(layer)
            and self.native.item(number).checkState() == Qt.CheckState.Checked
        ]

    def check(self, layer: Any, is_checked: bool = True) -> None:
        """Check or uncheck a layer, as the user does."""
        from qtpy.QtCore import Qt

        item = self.native.item(self.layers.index(layer))
        state = Qt.CheckState.Checked if is_checked else Qt.CheckState.Unchecked
        item.setCheckState(state)

    def _item_of(self, layer: Any, *, is_checked: bool) -> Any:
        from qtpy.QtCore import QSize, Qt
        from qtpy.QtWidgets import QListWidgetItem

        kind = layer._type_string
        item: Any = QListWidgetItem(layer.name)
        item.setSizeHint(QSize(0, _ROW_HEIGHT))
        state = Qt.CheckState.Checked if is_checked else Qt.CheckState.Unchecked
        item.setCheckState(state)
        if is_saved(layer):
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            item.setToolTip(f"{layer.name} ({kind})\n{self.tooltip}")
        else:
            item.setText(f"{layer.name} ({kind})")
            item.setFlags(Qt.ItemFlag.ItemIsUserCheckable)
            item.setToolTip(f"{layer.name}: {kind} layers cannot be saved")
        return item

    def _on_item(self, _: Any) -> None:
        if not self._is_showing:
            self._on_change()

    def _fit(self) -> None:
        """Be as high as the rows are, within reason."""
        shown = min(max(len(self.layers), 1), _MAX_ROWS_SHOWN)
        self.native.setFixedHeight(shown * _ROW_HEIGHT + 6)
