"""The demo as a person starts it: in its own process, in a real window."""

import os
import subprocess
import sys

import pytest
from skimage.io import imread

pytestmark = [pytest.mark.gui, pytest.mark.slow]


def run_demo(folder, *options, **environment):
    return subprocess.run(
        [sys.executable, "-m", "napari_msimage", "demo", "--size", "1100", *options],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
        check=False,
    )


def test_leaves_a_picture_of_the_whole_window(tmp_path):
    done = run_demo(tmp_path, "--screenshot", "window.png")
    assert done.returncode == 0, done.stderr
    assert f"Screenshot of the window: {tmp_path / 'window.png'}" in done.stdout
    picture = imread(tmp_path / "window.png")
    assert picture.shape[:2] == (900, 1400)
    # The canvas is in the middle of the window; tissue is brown and blue on white.
    middle = picture[400:500, 800:900, :3]
    assert middle.std() > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == [".demo", "window.png"]


def test_without_a_display_it_says_so(tmp_path):
    done = run_demo(tmp_path, DISPLAY="", WAYLAND_DISPLAY="")
    assert done.returncode == 1
    assert "There is no display" in done.stderr
    assert "Traceback" not in done.stderr


def test_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "taken").write_text("")
    done = run_demo(tmp_path, "--output", "taken")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "taken" in done.stderr
