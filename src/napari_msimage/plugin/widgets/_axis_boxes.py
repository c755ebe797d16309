"""A row of narrow boxes, one per axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from magicgui.widgets import Container, LineEdit

#: Several of them in a row.
_STYLE: Final = "min-width: 34px; padding: 0px 2px;"


class AxisBoxes(Container[LineEdit]):
    """Holds a text per axis, prefilled until somebody types.

    Parameters
    ----------
    label, tooltip : str
        Of the row.
    on_change : callable
        Called when the user has changed a text.
    has_labels : bool
        Whether the boxes are labelled by the names of the axes.
    """

    def __init__(
        self,
        label: str,
        tooltip: str,
        on_change: Callable[[], object],
        *,
        has_labels: bool,
    ) -> None:
        super().__init__(
            layout="horizontal", labels=has_labels, label=label, tooltip=tooltip
        )
        self.margins = (0, 0, 0, 0)
        self._on_text = on_change
        self._axis_names: tuple[str, ...] = ()
        self._is_filling = False
        self._is_edited = False

    def fill(self, axis_names: Sequence[str], texts: Sequence[str]) -> None:
        """Show other axes, and their texts unless somebody has typed others."""
        if self._axis_names != tuple(axis_names):
            self._axis_names = tuple(axis_names)
            self._is_edited = False
            self._make()
        if self._is_edited:
            return
        self._is_filling = True
        for box, text in zip(self, texts, strict=True):
            if box.value != text:
                box.value = text
        self._is_filling = False

    def forget(self) -> None:
        """Take what was typed for prefilled."""
        self._is_edited = False

    @property
    def texts(self) -> tuple[str, ...]:
        """What was typed; () if nothing was."""
        return tuple(box.value for box in self) if self._is_edited else ()

    def _make(self) -> None:
        self.clear()
        for number, name in enumerate(self._axis_names):
            # the name is for magicgui, which does not take any text
            box = LineEdit(name=f"axis{number}", label=name, tooltip=self.tooltip)
            box.native.setStyleSheet(_STYLE)
            box.changed.connect(self._on_box)
            self.append(box)

    def _on_box(self, _: Any) -> None:
        if not self._is_filling:
            self._is_edited = True
            self._on_text()
