import pytest

from napari_msimage.__main__ import main
from napari_msimage.plugin import _doctor


class TestArguments:
    @pytest.mark.parametrize("size", ["0", "63", "65537", "1e3", "many"])
    def test_bad_size_is_refused(self, size, capsys):
        with pytest.raises(SystemExit, match="2"):
            main(["demo", "--size", size])
        expected = f"got {size!r}, expected a whole number from 64 to 65536"
        assert expected in capsys.readouterr().err

    def test_screenshot_must_be_a_png(self, capsys):
        with pytest.raises(SystemExit, match="2"):
            main(["demo", "--screenshot", "window.jpg"])
        assert "expected a name that ends in .png" in capsys.readouterr().err

    def test_command_is_required(self, capsys):
        with pytest.raises(SystemExit, match="2"):
            main([])
        assert "COMMAND" in capsys.readouterr().err


class TestDoctor:
    def test_healthy_machine(self, monkeypatch, capsys):
        monkeypatch.setattr(_doctor, "find_problems", list)
        assert main(["doctor"]) == 0
        assert "All a napari window needs is here." in capsys.readouterr().out

    def test_problems_are_listed(self, monkeypatch, capsys):
        monkeypatch.setattr(_doctor, "find_problems", lambda: ["No A.", "No B."])
        assert main(["doctor"]) == 1
        assert capsys.readouterr().out == "No A.\nNo B.\n"
