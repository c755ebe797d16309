"""Parts that our forms are put together from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from magicgui.widgets import Container, Widget

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Of the labels of all rows.
LABEL_WIDTH: Final = 104


class Message:
    """A sentence that wraps, also within addresses."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QLabel, QSizePolicy

        label: Any = QLabel()
        label.setObjectName("msimage-message")
        label.setWordWrap(True)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        policy = QSizePolicy.Policy
        label.setSizePolicy(policy.Ignored, policy.MinimumExpanding)
        self.native = label
        self.text = ""
        self._colour: str | None = None

    @property
    def is_error(self) -> bool:
        """Whether the sentence is an error."""
        return self._colour is not None

    def say(self, text: str, colour: str | None) -> None:
        """Show a sentence, in a colour if it is an error."""
        if (text, colour) == (self.text, self._colour):
            return  # Qt would style it again
        self.text, self._colour = text, colour
        # a zero-width space lets a line break there
        self.native.setText(text.replace("/", "/\u200b").replace("_", "_\u200b"))
        self.native.setStyleSheet(f"color: {colour}" if colour else "")


def scrolling_column(widgets: Iterable[Any]) -> Any:
    """Return Qt widgets one below the other, in an area that scrolls if it has to."""
    from qtpy.QtCore import QEvent, QObject, Qt, QTimer
    from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

    column: Any = QWidget()
    layout = QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    for widget in widgets:
        layout.addWidget(widget)
    layout.addStretch(1)
    area: Any = QScrollArea()
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidgetResizable(True)
    area.setWidget(column)

    class Fitter(QObject):
        def eventFilter(self, watched: Any, event: Any) -> bool:
            if event.type() == QEvent.Type.LayoutRequest:
                timer.start()
            return False

    def fit() -> None:
        frame = area.height() - area.viewport().height()
        area.setMaximumHeight(column.sizeHint().height() + frame)
        area.setMinimumWidth(column.minimumSizeHint().width())

    timer = QTimer(area)
    timer.setSingleShot(True)
    timer.timeout.connect(fit)
    column.installEventFilter(Fitter(area))
    return area


def rows(*fields: Widget) -> Container[Widget]:
    """Return fields one below the other, their labels aligned."""
    box: Container[Widget] = Container(labels=True)
    box.margins = (0, 0, 0, 0)
    box.native.layout().setSpacing(4)
    box.extend(fields)
    # magicgui aligns labels too, but for another font than napari's
    layout = box.native.layout()
    for number in range(layout.count()):
        row = layout.itemAt(number).widget().layout()
        if row is not None:
            row.itemAt(0).widget().setMinimumWidth(LABEL_WIDTH)
    leave_wheel(box.native)
    return box


def leave_wheel(widget: Any) -> None:
    """Have the wheel scroll a form, and change a field in it only after a click."""
    from qtpy.QtCore import QEvent, QObject, Qt
    from qtpy.QtWidgets import QAbstractSpinBox, QComboBox

    class Guard(QObject):
        def eventFilter(self, watched: Any, event: Any) -> bool:
            is_left = event.type() == QEvent.Type.Wheel and not watched.hasFocus()
            if is_left:
                event.ignore()  # so that what is around it gets it
            return is_left

    guard = Guard(widget)
    for kind in (QComboBox, QAbstractSpinBox):
        for field in widget.findChildren(kind):
            field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            field.installEventFilter(guard)


def let_shrink(field: Widget) -> None:
    """Let a combo box be narrower than its longest text."""
    box: Any = field.native
    box.setSizeAdjustPolicy(box.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)


def collapsible(title: str, content: Any) -> Any:
    """Return a part that starts folded up."""
    from qtpy.QtGui import QIcon
    from superqt import QCollapsible

    # its own arrows are drawn in black, whatever the theme
    box: Any = QCollapsible("", expandedIcon=QIcon(), collapsedIcon=QIcon())
    box.layout().setContentsMargins(0, 0, 0, 0)
    box.layout().setSpacing(0)
    box.setDuration(100)
    box.addWidget(content)
    box.toggleButton().setStyleSheet(
        "text-align: left; border: none; padding: 2px; background: transparent;"
    )

    def show(is_open: bool) -> None:
        box.setText(f"{'▾' if is_open else '▸'} {title}")

    box.toggled.connect(show)
    show(False)
    return box


def confirm(parent: Any, title: str, question: str, details: str, action: str) -> bool:
    """Ask before something that cannot be taken back.

    Parameters
    ----------
    parent : QWidget
        Whose window the box belongs to.
    title, question, details : str
        What is asked.
    action : str
        Text of the button that means yes.
    """
    from qtpy.QtWidgets import QMessageBox

    box: Any = QMessageBox(parent)
    box.setObjectName("msimage-confirm")
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle(title)
    box.setText(question)
    box.setInformativeText(details)
    agree = box.addButton(action, QMessageBox.ButtonRole.AcceptRole)
    box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
    box.exec()
    return bool(box.clickedButton() is agree)
