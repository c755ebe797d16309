"""The fields of the "Save as SOMA image" form: where to, and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    LineEdit,
    PushButton,
    Widget,
)

from .._save_wish import AxesWish, LayerAxes, SaveWish
from ._axis_boxes import AxisBoxes
from ._layer_list import LayerList
from ._level_fields import METHOD_HELP
from ._parts import LABEL_WIDTH, let_shrink, rows
from ._save_place import unquoted

_STORAGE: Final = [
    ("fast: to write and to show", "fast"),
    ("small: on disk, but slower", "small"),
    ("exchange: as tiledbsoma", "exchange"),
]
_UNITS: Final = ("pixel", "nanometer", "micrometer", "millimeter")

#: A choice of a combo box: text and value.
Choice = tuple[str, Any]


class SaveFields(Container[Widget]):
    """Holds the fields; a form adds what it does with them.

    Parameters
    ----------
    on_layers : callable
        Called when the user checks or unchecks a layer.
    on_change : callable
        Called when the wish changes.
    """

    def __init__(
        self, on_layers: Callable[[], object], on_change: Callable[[], object]
    ) -> None:
        super().__init__(labels=False)
        self._on_change = on_change
        self._offers: dict[str, list[Choice]] = {
            "channels": [("separate images", "none")],
            "levels": [("all levels", "all")],
        }
        self._is_filling = False
        self._has_chosen_levels = False
        self._has_typed_unit = False
        self.layers = LayerList(
            on_layers,
            "Checked layers are saved; several become the images of a scene",
        )
        self._make_place_fields()
        self._make_pixel_fields()
        self._make_axis_fields()
        self._arrange_fields()
        for field in (self.destination, self.replace, self.channels, self.levels):
            field.changed.connect(self._tell)
        for field in (self.method, self.storage):
            field.changed.connect(self._tell)
        self.more_levels.changed.connect(self._on_more_levels)
        self.unit.changed.connect(self._on_unit)

    def _make_place_fields(self) -> None:
        self.destination = LineEdit(
            tooltip="New folder, or address on an object store, such as "
            "~/liver.soma or s3://bucket/liver.soma",
        )
        self.browse = PushButton(
            text="Browse…", tooltip="Pick the folder to save in, on this computer"
        )
        self._place_row: Container[Widget] = Container(
            widgets=[self.destination, self.browse],
            layout="horizontal",
            labels=False,
            label="Save to",
            tooltip="Where to save: a new folder, or an address",
        )
        self.replace = CheckBox(
            text="Replace the SOMA image that is there",
            tooltip="The old image stays as it is until the new one is complete and "
            "checked",
        )

    def _make_pixel_fields(self) -> None:
        self.channels = ComboBox(
            label="Channels",
            choices=lambda _: self._offers["channels"],
            tooltip="Which layers, or which axis of a layer, are the channels of one "
            "image; labels and RGB layers stay images of their own",
        )
        self.levels = ComboBox(
            label="Levels",
            choices=lambda _: self._offers["levels"],
            tooltip="What becomes the finest level; coarser ones follow it",
        )
        self.more_levels = CheckBox(
            text="Make coarser levels, down to 512 pixels",
            tooltip="Make levels below the coarsest one, until the longest displayed "
            "side is at most 512 pixels; napari reads the coarsest level whole",
        )
        self.method = ComboBox(
            label="Method",
            choices=list(METHOD_HELP),
            tooltip="What a pixel of a coarser level becomes of those under it; "
            "labels take mode or stride:\n"
            + "\n".join(f"- {key}: {text}" for key, text in METHOD_HELP.items()),
        )
        self.storage = ComboBox(
            label="Storage",
            choices=_STORAGE,
            tooltip="How levels are cut into tiles and compressed:\n"
            "- fast: tiles of about 512 x 512 pixels, LZ4;\n"
            "- small: the same tiles, Zstandard 9;\n"
            "- exchange: as tiledbsoma itself would store them: tiles of 512 x 512, "
            "128 x 128 x 128 or 4 x 4 x 4 x 4 pixels, Zstandard",
        )

    def _make_axis_fields(self) -> None:
        self.sizes = AxisBoxes(
            "Pixel size",
            "World units per pixel along each axis. Another size also scales the "
            "layer's position, and the other layers",
            self._tell,
            has_labels=True,
        )
        self.unit = LineEdit(
            label="Unit",
            tooltip="Of the pixel size: pixel, micrometer, …; one for all axes, or one "
            "per axis with commas between. Another unit does not change the numbers",
        )
        self.axis_names = AxisBoxes(
            "Axis names",
            "Names of the axes as stored, in the order x, y, z",
            self._tell,
            has_labels=False,
        )

    def _arrange_fields(self) -> None:
        """Put the fields in two groups of rows, the usual and the unusual ones."""
        self._form = rows(
            self._place_row,
            self.replace,
            self.channels,
            self.levels,
            self.more_levels,
            self.sizes,
            self.unit,
            self.storage,
        )
        self._more = rows(self.axis_names, self.method)
        self._layers_row = self._make_layers_row()
        self._place_row.margins = (0, 0, 0, 0)
        self.destination.native.setPlaceholderText("folder or URI")
        self.unit.native.setPlaceholderText("pixel")
        self.replace.visible = self.channels.visible = self.levels.visible = False
        for field in (self.channels, self.levels, self.storage):
            let_shrink(field)
        self._complete_units()

    def _complete_units(self) -> None:
        from qtpy.QtWidgets import QCompleter

        self.unit.native.setCompleter(QCompleter(_UNITS, self.unit.native))

    def _make_layers_row(self) -> Any:
        """Return the list of layers with its label, as a Qt widget."""
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QHBoxLayout, QLabel, QWidget

        row: Any = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        label: Any = QLabel("Layers")
        label.setFixedWidth(LABEL_WIDTH)
        label.setToolTip(self.layers.tooltip)
        layout.addWidget(label, alignment=Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.layers.native)
        return row

    # What is filled in

    def _tell(self, _: Any = None) -> None:
        if not self._is_filling:
            self._on_change()

    def _on_more_levels(self, _: Any) -> None:
        if not self._is_filling:
            self._has_chosen_levels = True
            self._on_change()

    def _on_unit(self, _: Any) -> None:
        if not self._is_filling:
            self._has_typed_unit = True
            self._on_change()

    def forget(self) -> None:
        """Let another first layer fill in the fields about its pixels and axes."""
        self._has_chosen_levels = self._has_typed_unit = False
        self.sizes.forget()
        self.axis_names.forget()

    def show_axes(self, axes: LayerAxes | None) -> None:
        """Fill in the axes of the first layer where nobody has typed anything.

        Parameters
        ----------
        axes : LayerAxes or None
            None if there is no such layer, or its axes make no sense.
        """
        self._is_filling = True
        self.sizes.fill(axes.names if axes else (), axes.size_texts if axes else ())
        self.axis_names.fill(*(axes.names,) * 2 if axes else ((), ()))
        if not self._has_typed_unit:
            self.unit.value = axes.unit_text if axes else ""
        self._is_filling = False
        self._order_tabs()

    def _order_tabs(self) -> None:
        """Have Tab visit the boxes, which were made last, where they are."""
        from qtpy.QtWidgets import QWidget

        before: Widget = self.more_levels
        for box in self.sizes:
            QWidget.setTabOrder(before.native, box.native)
            before = box
        before = self.method
        for box in (*self.axis_names, self.method):
            QWidget.setTabOrder(before.native, box.native)
            before = box

    def show_more_levels(self, makes_levels: bool) -> None:
        """Show whether levels are made, unless somebody has chosen that."""
        if not self._has_chosen_levels:
            self._is_filling = True
            self.more_levels.value = makes_levels
            self._is_filling = False

    def offer_channels(self, choices: list[Choice]) -> None:
        """Offer other channels; see `_offer`."""
        self._offer("channels", self.channels, choices)

    def offer_levels(self, choices: list[Choice]) -> None:
        """Offer other levels; see `_offer`."""
        self._offer("levels", self.levels, choices)

    def _offer(self, name: str, field: ComboBox, choices: list[Choice]) -> None:
        """Offer other choices; keep the chosen one, or take the first."""
        if self._offers[name] == choices:
            return
        before, values = field.value, [value for _, value in choices]
        self._offers[name] = choices
        self._is_filling = True
        field.native.clear()  # else magicgui puts new choices last
        field.reset_choices()
        field.value = before if before in values else values[0]
        field.visible = len(choices) > 1
        self._is_filling = False

    @property
    def wish(self) -> SaveWish:
        """What is filled in."""
        channels = self.channels.value
        return SaveWish(
            destination=unquoted(self.destination.value),
            axes=AxesWish(
                names=self.axis_names.texts,
                sizes=self.sizes.texts,
                unit=self.unit.value.strip() if self._has_typed_unit else "",
            ),
            as_channels=channels == "layers",
            channel_axis=channels if isinstance(channels, int) else None,
            levels=self.levels.value,
            more_levels=self.more_levels.value if self._has_chosen_levels else None,
            method=self.method.value,
            storage=self.storage.value,
            replace=bool(self.replace.value and self.replace.visible),
        )
