"""The fields that say which part of an image is meant: view, shapes, bounds, planes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

from magicgui.widgets import ComboBox, Container, LineEdit, Widget

from .._export_wish import PlaneChoice
from ._axis_boxes import AxisBoxes
from ._parts import let_shrink

_REGIONS: Final = [
    ("the current view", "view"),
    ("every shape of a layer", "shapes"),
    ("the selected shapes of a layer", "selected"),
    ("bounds in world units", "world"),
    ("bounds in pixels", "pixels"),
    ("the whole image", "whole"),
]
_DRAWN: Final = ("shapes", "selected")
_TYPED: Final = ("world", "pixels")
_PLANES: Final[list[tuple[str, PlaneChoice]]] = [
    ("the current one", "current"),
    ("from … to …", "range"),
    ("all", "all"),
]
_OWN_PLANES: Final[list[tuple[str, PlaneChoice]]] = [
    ("those that shapes lie in", "own"),
    *_PLANES,
]
_BOUNDS_HELP: Final = {
    "world": "World coordinates, in the layer's units, half-open; empty: the image's "
    "edge",
    "pixels": "Pixels of the finest level, half-open: 0 to 100 are the first hundred; "
    "empty: the image's edge",
}


class RegionFields:
    """Makes the fields; a form puts its ``widgets`` in a column.

    Parameters
    ----------
    on_change : callable
        Called when the user has changed anything.
    on_region : callable
        Called when the user has chosen another source of regions.
    """

    def __init__(
        self, on_change: Callable[[], object], on_region: Callable[[], object]
    ) -> None:
        self._on_change, self._on_region = on_change, on_region
        self._is_filling = False
        self._shapes: list[Any] = []
        self._plane_choices = _PLANES
        self._plane_axis = ""
        self.region = ComboBox(
            label="Region",
            choices=_REGIONS,
            tooltip="Which part of the image is exported; partly covered pixels are "
            "included",
        )
        self.shapes = ComboBox(
            label="Shapes",
            choices=lambda _: self._shape_choices(),
            tooltip="The layer in which the regions are drawn; one file per shape",
        )
        self.lower = AxisBoxes("From", "", self._tell, has_labels=True)
        self.upper = AxisBoxes("To", "", self._tell, has_labels=False)
        self.planes = ComboBox(
            label="Planes",
            choices=lambda _: self._plane_choices,
            tooltip="Which planes of a 3-D image are exported of that region",
        )
        self.first_plane = LineEdit(tooltip="First plane, counted from 0")
        self.last_plane = LineEdit(tooltip="Last plane; it is exported too")
        self._range: Container[Widget] = Container(
            widgets=[self.first_plane, self.last_plane],
            layout="horizontal",
            labels=False,
            label="First, last",
        )
        self._range.margins = (0, 0, 0, 0)
        for box in (self.region, self.shapes, self.planes):
            let_shrink(box)
        self.region.changed.connect(self._on_region_choice)
        changing: tuple[ComboBox | LineEdit, ...] = (
            self.shapes,
            self.first_plane,
            self.last_plane,
        )
        for field in changing:
            field.changed.connect(self._tell)
        self.planes.changed.connect(self._on_planes)

    @property
    def widgets(self) -> list[Widget]:
        """The fields, top to bottom."""
        return [
            self.region,
            self.shapes,
            self.lower,
            self.upper,
            self.planes,
            self._range,
        ]

    def hide_what_does_not_apply(self) -> None:
        """Show the fields of the chosen source only."""
        is_flat = self.region.value in ("view", *_DRAWN)
        has_planes = is_flat and bool(self._plane_axis)
        self.shapes.visible = self.is_drawn
        self.lower.visible = self.upper.visible = self.is_typed
        self.planes.visible = has_planes
        self._range.visible = has_planes and self.planes.value == "range"

    # What is filled in

    @property
    def is_drawn(self) -> bool:
        """Whether regions are shapes."""
        return self.region.value in _DRAWN

    @property
    def is_typed(self) -> bool:
        """Whether bounds are typed."""
        return self.region.value in _TYPED

    @property
    def shapes_layer(self) -> Any:
        """The chosen Shapes layer; None if there is none."""
        key = self.shapes.value
        return next((x for x in self._shapes if id(x) == key), None)

    @property
    def bounds(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Typed bounds, least and greatest ones, data axis order."""
        lower, upper = (
            tuple(str(box.value) for box in boxes)[::-1]
            for boxes in (self.lower, self.upper)
        )
        return lower, upper

    @property
    def plane_range(self) -> tuple[str, str]:
        """First and last plane, as typed."""
        return self.first_plane.value, self.last_plane.value

    # What the form fills in

    def offer_shapes(self, layers: Sequence[Any]) -> None:
        """Offer other Shapes layers; keep the chosen one, or take the topmost."""
        before = self.shapes.value
        self._shapes = list(reversed(layers))
        keys = [id(layer) for layer in self._shapes]
        self._is_filling = True
        self.shapes.native.clear()  # else magicgui puts new choices last
        self.shapes.reset_choices()
        if keys:
            self.shapes.value = before if before in keys else keys[0]
        self._is_filling = False

    def choose_shapes(self, layer: Any) -> None:
        """Choose a Shapes layer, if it is offered."""
        if any(layer is other for other in self._shapes):
            self._is_filling = True
            self.shapes.value = id(layer)
            self._is_filling = False

    def fill_bounds(
        self, names: Sequence[str], lower: Sequence[str], upper: Sequence[str]
    ) -> None:
        """Fill in bounds; coordinate axis order, one text per axis."""
        tooltip = _BOUNDS_HELP.get(self.region.value, "")
        for boxes, texts in ((self.lower, lower), (self.upper, upper)):
            boxes.tooltip = tooltip
            boxes.forget()
            boxes.fill(names, texts)
        order_tabs(self.shapes, *self.lower, *self.upper, self.planes)

    def show_planes(self, axis: str, n_planes: int) -> None:
        """Show which axis planes are counted along; "" for none."""
        choices = _OWN_PLANES if self.is_drawn else _PLANES
        self._plane_axis = axis
        if axis:
            self.first_plane.native.setPlaceholderText("0")
            self.last_plane.native.setPlaceholderText(str(n_planes - 1))
            text = f"Which planes along {axis} are exported of that region"
            self.planes.native.setToolTip(text)
        if choices is self._plane_choices:
            return
        before = self.planes.value
        self._plane_choices = choices
        self._is_filling = True
        self.planes.native.clear()
        self.planes.reset_choices()
        is_kept = before in [value for _, value in choices]
        is_default = before in ("own", "current")
        self.planes.value = before if is_kept and not is_default else choices[0][1]
        self._is_filling = False

    def _shape_choices(self) -> list[tuple[str, int]]:
        return [(layer.name, id(layer)) for layer in self._shapes]

    # Changes

    def _tell(self, _: Any = None) -> None:
        if not self._is_filling:
            self._on_change()

    def _on_planes(self, _: Any) -> None:
        self.hide_what_does_not_apply()
        self._tell()

    def _on_region_choice(self, _: Any) -> None:
        if not self._is_filling:
            self._on_region()


def order_tabs(*fields: Widget) -> None:
    """Have Tab go through fields in this order."""
    from qtpy.QtWidgets import QWidget

    for before, after in itertools.pairwise(fields):
        QWidget.setTabOrder(before.native, after.native)
