"""The fields of the "Create levels" form: an image, and a wish for its levels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSpinBox,
    LineEdit,
    PushButton,
    SpinBox,
    Widget,
)

from .._level_wish import DEFAULT_FACTOR, DEFAULT_SIDE, LevelWish
from ._parts import leave_wheel, rows

_MAX_SIDE: Final = 2**31 - 1
_MAX_STEP: Final = 1e6
_MAX_LEVELS: Final = 64
_MODES: Final = [
    ("until small enough", "side"),
    ("a number of levels", "count"),
    ("of given factors", "factors"),
    ("of given shapes", "shapes"),
]
METHOD_HELP: Final = {
    "mean": "the mean, exact and rounded once: for intensities and colours",
    "stride": "every n-th pixel: quick, but noisy",
    "mode": "the most frequent value: for labels and masks",
    "median": "the median: for intensities with outliers",
    "min": "the smallest value: keeps dark details",
    "max": "the largest value: keeps bright details such as spots",
}


#: Returns the images to choose from, as (text, value).
ImageChoices: TypeAlias = Callable[[Any], list[tuple[str, Any]]]


class LevelFields(Container[Widget]):
    """Holds the fields; a form adds what it does with them.

    Parameters
    ----------
    image_choices : callable
        Returns the images to choose from, as (text, value).
    on_change : callable
        Called when the wish changes, or the address.
    """

    def __init__(
        self,
        image_choices: ImageChoices,
        on_change: Callable[[], object],
    ) -> None:
        super().__init__(labels=False)
        self._on_change = on_change
        self._steps: dict[str, float] = {}
        self._make_fields(image_choices)
        self._arrange_fields()
        self._show_mode()
        self._show_steps(("x", "y"))
        self.mode.changed.connect(self._show_mode)
        for field in (
            self.address,
            self.mode,
            self.max_side,
            self.n_levels,
            self.factors,
            self.shapes,
            self.method,
            self.between,
            self.replace,
            self.keys,
        ):
            field.changed.connect(self._tell)

    def _make_fields(
        self, image_choices: Callable[[Any], list[tuple[str, Any]]]
    ) -> None:
        self.image = ComboBox(
            label="Image",
            choices=image_choices,
            tooltip="SOMA images that are open in this viewer, or one by its address",
        )
        self.address = LineEdit(
            tooltip="Folder or URI of a SOMA multiscale image, such as "
            "~/liver.soma or s3://bucket/liver.soma",
        )
        self.browse = PushButton(
            text="Browse…", tooltip="Pick the image's folder on this computer"
        )
        self._address_row: Container[Widget] = Container(
            widgets=[self.address, self.browse],
            layout="horizontal",
            labels=False,
            label="Address",
        )
        self.mode = ComboBox(
            label="Make levels",
            choices=_MODES,
            tooltip="Which levels to make:\n"
            "- step by step, until the longest displayed side is small enough;\n"
            "- step by step, a number of them below the coarsest level;\n"
            "- with these factors to the finest level; or of exactly these shapes",
        )
        self.max_side = SpinBox(
            label="Longest side",
            value=DEFAULT_SIDE,
            min=1,
            max=_MAX_SIDE,
            tooltip="The coarsest level has at most this many pixels along its longest "
            "displayed side; napari reads that level whole",
        )
        self.n_levels = SpinBox(
            label="Number",
            value=1,
            min=1,
            max=_MAX_LEVELS,
            tooltip="How many levels to make below the coarsest",
        )
        self.factors = LineEdit(
            label="Factors",
            tooltip="Size of the finest level divided by the new one's, a factor per "
            "level: 2, 4, 8; or by axis: x=2 y=2 z=1; x=4 y=4 z=2",
        )
        self.shapes = LineEdit(
            label="Shapes",
            tooltip="A shape per level, sizes in the order of the table below: "
            "3 x 512 x 512; 3 x 256 x 256",
        )
        self.steps: Container[FloatSpinBox] = Container(
            layout="horizontal",
            labels=True,
            label="Step factor",
            tooltip="How much smaller each level is than the one before, along each "
            "axis; 1 keeps an axis, such as the z of a volume with few planes",
        )
        self.method = ComboBox(
            label="Method",
            choices=list(METHOD_HELP),
            tooltip="What a pixel becomes of those under it:\n"
            + "\n".join(f"- {key}: {text}" for key, text in METHOD_HELP.items()),
        )
        self.between = CheckBox(
            text="Fill gaps between levels",
            value=True,
            tooltip="Also make levels between existing ones that are further apart "
            "than a step",
        )
        self.replace = CheckBox(
            text="Replace existing levels",
            tooltip="Make existing levels anew, except for the finest, which all are "
            "made from. Otherwise they are left alone.",
        )
        self.keys = LineEdit(
            label="Names",
            tooltip="Names of the new levels, finest first, with commas between: "
            "letters, digits, '.', '_' and '-'. Empty: they continue the image's own.",
        )
        self.scheduler = LineEdit(
            label="Dask scheduler",
            tooltip="Address of a dask scheduler whose workers do the work, such as "
            "tcp://127.0.0.1:8786; they have to reach the image by the same address. "
            "Empty: threads of this program",
        )

    def _arrange_fields(self) -> None:
        """Put the fields in two groups of rows, the usual and the unusual ones."""
        self._form = rows(
            self.image,
            self._address_row,
            self.mode,
            self.max_side,
            self.n_levels,
            self.factors,
            self.shapes,
            self.steps,
            self.method,
            self.between,
            self.replace,
        )
        self._more = rows(self.keys, self.scheduler)
        for box in (self._address_row, self.steps):
            box.margins = (0, 0, 0, 0)
        for field, example in (
            (self.address, "folder or URI"),
            (self.factors, "2, 4, 8"),
            (self.shapes, "3 x 512 x 512; 3 x 256 x 256"),
            (self.keys, "automatic"),
            (self.scheduler, "tcp://127.0.0.1:8786"),
        ):
            field.native.setPlaceholderText(example)

    def _tell(self, _: Any = None) -> None:
        self._on_change()

    def _show_mode(self, _: Any = None) -> None:
        mode = self.mode.value
        self.max_side.visible = mode == "side"
        self.n_levels.visible = mode == "count"
        self.factors.visible = mode == "factors"
        self.shapes.visible = mode == "shapes"
        self.steps.visible = self.between.visible = mode in ("side", "count")

    def _show_steps(self, axis_names: tuple[str, ...]) -> None:
        """Have a step factor for each axis of the image."""
        if [box.label for box in self.steps] == list(axis_names):
            return
        self.steps.clear()
        for name in axis_names:
            box = FloatSpinBox(
                name=f"step_{name}",
                label=name,
                value=self._steps.get(name, DEFAULT_FACTOR),
                min=1,
                max=_MAX_STEP,
                step=1,
                tooltip=self.steps.tooltip,
            )
            box.native.setDecimals(2)
            # three of them in a row: without the arrows, keys and wheel still work
            box.native.setButtonSymbols(box.native.ButtonSymbols.NoButtons)
            box.native.setStyleSheet("min-width: 34px; padding: 0px 2px;")
            box.changed.connect(functools.partial(self._on_step, name))
            self.steps.append(box)
        leave_wheel(self.steps.native)

    def _on_step(self, name: str, value: float) -> None:
        self._steps[name] = value
        self._on_change()

    @property
    def wish(self) -> LevelWish:
        """What is filled in."""
        return LevelWish(
            mode=self.mode.value,
            max_side=self.max_side.value,
            n_levels=self.n_levels.value,
            factors=self.factors.value,
            shapes=self.shapes.value,
            steps=tuple(self._steps.items()),
            between=self.between.value,
            method=self.method.value,
            keys=self.keys.value,
            replace=self.replace.value,
        )
