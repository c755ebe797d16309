import ctypes
import importlib.util
import sys

import pytest

from napari_msimage.plugin import _doctor


@pytest.fixture
def healthy_linux(monkeypatch):
    """Make the machine look like one where a window opens."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(_doctor, "_OPEN_QT", "")
    monkeypatch.setenv("DISPLAY", ":0")


@pytest.mark.usefixtures("healthy_linux")
class TestFindProblems:
    def test_nothing_lacks(self):
        assert _doctor.find_problems() == []

    def test_missing_libraries_name_their_packages(self, monkeypatch):
        def load(name):
            if name in {"libEGL.so.1", "libxcb-cursor.so.0"}:
                raise OSError(name)

        monkeypatch.setattr(ctypes, "CDLL", load)
        (problem,) = _doctor.find_problems()
        assert "libEGL.so.1, libxcb-cursor.so.0" in problem
        assert problem.endswith("apt-get install libegl1 libxcb-cursor0")

    def test_missing_qt_binding_names_the_remedy(self, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        (problem,) = _doctor.find_problems()
        assert 'pip install "napari[pyqt6]"' in problem

    def test_missing_display_names_the_virtual_one(self, monkeypatch):
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
            monkeypatch.delenv(name, raising=False)
        (problem,) = _doctor.find_problems()
        assert "no display" in problem
        assert "xvfb-run" in problem

    def test_last_words_of_qt_are_shown(self, monkeypatch):
        code = "import sys; sys.exit('first\\ncould not load the plugin')"
        monkeypatch.setattr(_doctor, "_OPEN_QT", code)
        problems = _doctor.find_problems()
        assert problems == ["Qt does not start: could not load the plugin"]

    def test_only_linux_needs_the_libraries_and_a_display(self, monkeypatch):
        def load(name):
            raise OSError(name)

        monkeypatch.setattr(ctypes, "CDLL", load)
        monkeypatch.delenv("DISPLAY")
        monkeypatch.setattr(sys, "platform", "darwin")
        assert _doctor.find_problems() == []
