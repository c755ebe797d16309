"""The fields of the "Export region" form: image, region, level, format, place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    Label,
    LineEdit,
    PushButton,
    Widget,
)

from .._export_settings import COMPRESSIONS, NEW_LAYER, PYRAMIDS, ExportSettings
from .._export_wish import ALPHAS, ExportWish
from ._export_channels import ChannelList
from ._parts import LABEL_WIDTH, let_shrink, rows
from ._region_fields import RegionFields

#: Text and value, as for a combo box.
Choice = tuple[str, Any]

_FORMATS: Final = [
    ("OME-TIFF", "ome-tiff"),
    ("OME-Zarr (NGFF 0.5)", "ome-zarr"),
    ("PNG", "png"),
    ("NPY (numpy)", "npy"),
    ("SOMA image", "soma"),
    ("new napari layer", NEW_LAYER),
]
_FORMAT_HELP: Final = (
    "What is written:\n"
    "- OME-TIFF: tiled, with pixel size, position and channel names;\n"
    "- OME-Zarr: a folder of chunks with levels, axes, units and position;\n"
    "- PNG: for figures, 8-bit RGB or 8/16-bit gray, up to 200 megapixels;\n"
    "- NPY: the plain array, with a .json file that says where it lies;\n"
    "- SOMA image: a cut-out with levels of its own;\n"
    "- new napari layer: a view of these pixels in place; copies nothing"
)
_COLORS: Final = [("raw data", False), ("as displayed (RGB)", True)]
_MASKS: Final[list[Choice]] = [
    ("kept: bounding boxes", "keep"),
    ("replaced by a value", "fill"),
    ("transparent", "alpha"),
]
_LEVEL_RULES: Final[list[Choice]] = [
    ("as fine as the screen", "screen"),
    ("nearest to a pixel size…", "size"),
    ("at most a number of pixels…", "pixels"),
]


class ExportFields(Container[Widget]):
    """Holds the fields; a form adds what it does with them.

    Parameters
    ----------
    settings : ExportSettings
        Of the last export.
    image_choices : callable
        Returns the images to choose from, as (text, key).
    on_change : callable
        Called when the wish changes.
    on_region : callable
        Called when the user has chosen another source of regions.
    """

    def __init__(
        self,
        settings: ExportSettings,
        image_choices: Callable[[Any], list[Choice]],
        on_change: Callable[[], object],
        on_region: Callable[[], object],
    ) -> None:
        super().__init__(labels=False)
        self._on_change = on_change
        self._is_filling = False
        self._clear_formats: tuple[str, ...] = ALPHAS  # until the image is known
        self._offers: dict[str, list[Choice]] = {
            "level": list(_LEVEL_RULES),
            "axis": [("none: all axes are spatial", None)],
            "compression": [(name, name) for name in COMPRESSIONS["ome-tiff"]],
            "mask": list(_MASKS),
        }
        self.place = RegionFields(self._tell, on_region)
        self._make_image_fields(image_choices)
        self._make_level_fields()
        self._make_format_fields()
        self._make_destination_fields()
        self._apply(settings)
        self._arrange_fields()
        self._connect_fields()
        self.show_what_applies()

    def _make_image_fields(self, choices: Callable[[Any], list[Choice]]) -> None:
        self.image = ComboBox(
            label="Image",
            choices=choices,
            nullable=True,
            tooltip="An image or labels layer; channels of one image go together",
        )
        self.channel_axis = ComboBox(
            label="Channel axis",
            choices=lambda _: self._offers["axis"],
            tooltip="Which axis of the layer holds channels; the others are spatial",
        )
        self.channels = ChannelList(self._tell)
        self.colors = ComboBox(
            label="Pixels",
            choices=_COLORS,
            tooltip="The layer's own values, for measurements; or the colours on the "
            "canvas, with colormap, contrast and blending applied, for figures",
        )

    def _make_level_fields(self) -> None:
        self.level = ComboBox(
            label="Level",
            choices=lambda _: self._offers["level"],
            tooltip="At which resolution; the table below shows what each one takes",
        )
        self.level_number = LineEdit(tooltip="A number above 0")
        self.level_unit = Label(value="")
        self._number_row: Container[Widget] = Container(
            widgets=[self.level_number, self.level_unit],
            layout="horizontal",
            labels=False,
            label=" ",
        )

    def _make_format_fields(self) -> None:
        self.format = ComboBox(label="Format", choices=_FORMATS, tooltip=_FORMAT_HELP)
        self.compression = ComboBox(
            label="Compression",
            choices=lambda _: self._offers["compression"],
            tooltip="How pixels are compressed in the file; none loses nothing either",
        )
        self.pyramid = CheckBox(
            text="Coarser levels in the file",
            tooltip="Add a pyramid, for programs that zoom; takes a third more space",
        )
        self.mask = ComboBox(
            label="Pixels outside",
            choices=lambda _: self._offers["mask"],
            tooltip="What becomes of pixels whose centres are outside of an outline",
        )
        self.fill_value = LineEdit(
            label="Fill value", value="0", tooltip="Value of the pixels outside"
        )
        self.json = CheckBox(
            text="Metadata as .json beside the file",
            tooltip="Source, level, region, pixel size and units, for scripts; NPY and "
            "PNG always get one",
        )

    def _make_destination_fields(self) -> None:
        self.destination = LineEdit(
            tooltip="File to be written; of several regions one each: {index} or "
            "{index:03} is a region's number, {region} its name or label, {name} the "
            "image's, {level} the level's. A SOMA image may also be at an address "
            "such as s3://bucket/cut.soma",
        )
        self.browse = PushButton(
            text="Browse…", tooltip="Pick a folder and a name on this computer"
        )
        self._place_row: Container[Widget] = Container(
            widgets=[self.destination, self.browse],
            layout="horizontal",
            labels=False,
            label="Save to",
        )
        self.outline = CheckBox(
            text="Show the outline on the canvas",
            value=True,
            tooltip="Draw a line around exactly the pixels that will be exported",
        )

    def _apply(self, settings: ExportSettings) -> None:
        """Fill in what the last export was done with."""
        level = settings.level
        self._first_level: int | str | None = int(level) if level.isdecimal() else level
        if settings.format in [value for _, value in _FORMATS]:
            self.format.value = settings.format
        self.fill_format()
        target = self.format.value
        if (compression := settings.compression_of(target)) is not None:
            self.compression.value = compression
        if (has_pyramid := settings.pyramid_of(target)) is not None:
            self.pyramid.value = has_pyramid
        self.json.value = settings.json_file
        self.colors.value = settings.as_displayed
        if settings.outside in [value for _, value in self._offers["mask"]]:
            self.mask.value = settings.outside
        self.fill_value.value = settings.fill_value

    def _arrange_fields(self) -> None:
        """Put the fields in three groups of rows; tables come between them."""
        self._top = rows(self.image, self.channel_axis, *self.place.widgets)
        self._middle = rows(self.colors, self.level, self._number_row)
        self._bottom = rows(
            self.format,
            self.compression,
            self.pyramid,
            self.mask,
            self.fill_value,
            self.json,
            self._place_row,
            self.outline,
        )
        self._channels_row = self._make_channels_row()
        for row in (self._place_row, self._number_row):
            row.margins = (0, 0, 0, 0)
        self.destination.native.setPlaceholderText("file, folder or URI")
        for field in (
            self.image,
            self.channel_axis,
            self.colors,
            self.level,
            self.format,
            self.mask,
        ):
            let_shrink(field)

    def _make_channels_row(self) -> Any:
        """Return the list of channels with its label, as a Qt widget."""
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QHBoxLayout, QLabel, QWidget

        row: Any = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        label: Any = QLabel("Channels")
        label.setFixedWidth(LABEL_WIDTH)
        layout.addWidget(label, alignment=Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.channels.native)
        return row

    def _connect_fields(self) -> None:
        for field in (
            self.channel_axis,
            self.level_number,
            self.compression,
            self.pyramid,
            self.fill_value,
            self.json,
        ):
            field.changed.connect(self._tell)
        for field in (self.colors, self.mask):
            field.changed.connect(self._on_choice)
        self.level.changed.connect(self._on_level)

    def _tell(self, _: Any = None) -> None:
        if not self._is_filling:
            self._on_change()

    def _on_level(self, _: Any = None) -> None:
        if not self._is_filling:
            self._first_level = None
        self._on_choice()

    def _on_choice(self, _: Any = None) -> None:
        self.show_what_applies()
        self._tell()

    # What is shown

    def show_what_applies(self, *, is_outlined: bool = False) -> None:
        """Show the fields that make a difference for what is chosen.

        Parameters
        ----------
        is_outlined : bool
            Whether a region has an outline that is not just its box.
        """
        target = self.format.value
        is_file = target != NEW_LAYER
        can_mask = is_file and (is_outlined or self.place.is_drawn)
        shown = {
            self.channel_axis: len(self._offers["axis"]) > 1,
            self.colors: is_file,
            self._number_row: self.level.value in ("size", "pixels"),
            self.compression: target in COMPRESSIONS,
            self.pyramid: target in PYRAMIDS,
            self.mask: can_mask,
            self.fill_value: can_mask and self.mask.value == "fill",
            self.json: target in PYRAMIDS,
            self._place_row: is_file,
        }
        for field, is_shown in shown.items():
            field.visible = is_shown
        has_channels = len(self.channels.names) > 1
        is_raw = not (self.colors.value and is_file)
        self._channels_row.setVisible(has_channels and is_raw and is_file)
        self.place.hide_what_does_not_apply()

    def fill_format(self) -> None:
        """Offer the compressions of the chosen format, and its default choices."""
        target = self.format.value
        choices = COMPRESSIONS.get(target)
        if choices is not None:
            self.offer("compression", self.compression, [(c, c) for c in choices])
            self._fill(self.compression, choices[0])
        self._fill(self.pyramid, PYRAMIDS.get(target, False))
        self._offer_masks()

    def allow_clear(self, formats: tuple[str, ...]) -> None:
        """Offer transparent pixels in these formats only."""
        self._clear_formats = formats
        self._offer_masks()

    def _offer_masks(self) -> None:
        is_clear = self.format.value in self._clear_formats
        masks = [one for one in _MASKS if one[1] != "alpha" or is_clear]
        self.offer("mask", self.mask, masks)

    def offer_levels(self, keys: Sequence[str]) -> None:
        """Offer the levels of an image; keep the chosen one."""
        choices: list[Choice] = [(key, index) for index, key in enumerate(keys)]
        self.offer(
            "level", self.level, [*_LEVEL_RULES[:1], *choices, *_LEVEL_RULES[1:]]
        )
        first, self._first_level = self._first_level, None
        if first is not None:
            level = first if isinstance(first, str) else min(first, len(keys) - 1)
            self._fill(self.level, level)

    def offer(self, name: str, field: ComboBox, choices: list[Choice]) -> None:
        """Offer other choices; keep the chosen one, or take the first."""
        if self._offers[name] == choices:
            return
        before, values = field.value, [value for _, value in choices]
        self._offers[name] = choices
        self._is_filling = True
        field.native.clear()  # else magicgui puts new choices last
        field.reset_choices()
        field.value = before if before in values else values[0]
        self._is_filling = False

    def _fill(self, field: Any, value: Any) -> None:
        """Set a field without telling the form."""
        self._is_filling = True
        if field.value != value:
            field.value = value
        self._is_filling = False

    # What is filled in

    @property
    def wish(self) -> ExportWish:
        """What is filled in."""
        place, target = self.place, self.format.value
        is_file = target != NEW_LAYER
        lower, upper = place.bounds if place.is_typed else ((), ())
        ticked = self.channels.ticked
        is_all = len(ticked) == len(self.channels.names)
        return ExportWish(
            region=place.region.value,
            planes=place.planes.value,
            plane_range=place.plane_range,
            lower=lower,
            upper=upper,
            level=self.level.value,
            level_number=self.level_number.value,
            channel_axis=self.channel_axis.value,
            channels=None if is_all or not is_file else ticked,
            is_displayed=bool(self.colors.value) and is_file,
            format=target,
            compression=self.compression.value if target in COMPRESSIONS else None,
            pyramid=self.pyramid.value if target in PYRAMIDS else None,
            mask=self.mask.value if is_file else "keep",
            fill_value=self.fill_value.value,
            json=bool(self.json.value) and target in PYRAMIDS,
            destination=self.destination.value,
        )
