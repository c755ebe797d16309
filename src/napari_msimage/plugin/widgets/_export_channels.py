"""A list of channels with check boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

_MAX_ROWS_SHOWN: Final = 5
_ROW_HEIGHT: Final = 22
_HELP: Final = "Ticked channels are exported; the channel axis stays"


class ChannelList:
    """Shows channels, and which are ticked; the widget is ``native``.

    Parameters
    ----------
    on_change : callable
        Called when the user ticks or unticks one.
    """

    def __init__(self, on_change: Callable[[], object]) -> None:
        from qtpy.QtWidgets import QAbstractItemView, QListWidget

        box: Any = QListWidget()
        box.setObjectName("msimage-channels")
        box.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        box.setUniformItemSizes(True)
        box.setToolTip(_HELP)
        box.itemChanged.connect(self._on_item)
        self.native = box
        self.names: tuple[str, ...] = ()
        """What is shown."""
        self._key: Any = None
        self._on_change = on_change
        self._is_showing = False

    def show(self, names: Sequence[str], key: Any) -> None:
        """Show the channels of an image; those of another one are all ticked.

        Parameters
        ----------
        names : sequence of str
            One per channel.
        key : object
            What the image is told from others by.
        """
        if (tuple(names), key) == (self.names, self._key):
            return
        from qtpy.QtCore import QSize, Qt
        from qtpy.QtWidgets import QListWidgetItem

        unticked = set()
        if key == self._key and len(names) == len(self.names):
            unticked = set(range(len(names))) - set(self.ticked)
        self.names, self._key = tuple(names), key
        self._is_showing = True
        self.native.clear()
        for index, name in enumerate(names):
            item: Any = QListWidgetItem(name)
            item.setSizeHint(QSize(0, _ROW_HEIGHT))
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            is_off = index in unticked
            item.setCheckState(
                Qt.CheckState.Unchecked if is_off else Qt.CheckState.Checked
            )
            item.setToolTip(f"{name}\n{_HELP}")
            self.native.addItem(item)
        shown = min(max(len(names), 1), _MAX_ROWS_SHOWN)
        self.native.setFixedHeight(shown * _ROW_HEIGHT + 6)
        self._is_showing = False

    @property
    def ticked(self) -> tuple[int, ...]:
        """Indices of the channels that are ticked."""
        from qtpy.QtCore import Qt

        return tuple(
            index
            for index in range(len(self.names))
            if self.native.item(index).checkState() == Qt.CheckState.Checked
        )

    def tick(self, index: int, is_ticked: bool = True) -> None:
        """Tick or untick a channel, as the user does."""
        from qtpy.QtCore import Qt

        state = Qt.CheckState.Checked if is_ticked else Qt.CheckState.Unchecked
        self.native.item(index).setCheckState(state)

    def _on_item(self, _: Any) -> None:
        if not self._is_showing:
            self._on_change()
