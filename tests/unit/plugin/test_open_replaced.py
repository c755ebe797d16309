"""Opening what an interrupted swap has moved aside: said, and moved back on wish."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import npe2
import numpy as np
import pytest

from napari_msimage import write_layers
from napari_msimage.engines import find_replaced
from napari_msimage.errors import AccessError, DoesNotExistError
from napari_msimage.plugin import _open_replaced
from napari_msimage.plugin._open import OpenRequest, read_layers
from napari_msimage.plugin._reader import get_reader, read
from napari_msimage.storage import staging_name

KILLED = """
import os, sys
import numpy as np
from napari_msimage import write_layers

rename = os.rename

def rename_once(source, destination):
    rename(source, destination)
    if ".old." in destination:
        os._exit(9)

os.rename = rename_once
write_layers(sys.argv[1], (np.zeros((5, 6), "uint8"),), replace=True)
"""


@pytest.fixture
def killed(tmp_uri):
    """Return the address of an image whose replacing was killed between the renames."""
    write_layers(tmp_uri, (np.full((9, 13), 7, "uint8"), {"name": "cells"}))
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_uri], check=False)
    assert done.returncode == 9
    assert not Path(tmp_uri).exists()
    return tmp_uri


@pytest.fixture
def swapping(tmp_uri):
    """Return the address of an image that this process is just replacing."""
    write_layers(tmp_uri, (np.full((9, 13), 7, "uint8"), {"name": "cells"}))
    os.rename(tmp_uri, f"{tmp_uri}.old.{staging_name()}")
    return tmp_uri


@pytest.fixture
def answers(monkeypatch):
    """Pretend that a person waits, who answers; return what is asked and told."""
    heard = []
    answers = {"answer": True, "heard": heard}

    def ask(uri, path):
        heard.append((uri, path))
        return answers["answer"]

    def tell(message, severity="info"):
        heard.append(message)

    monkeypatch.setattr("napari_msimage.plugin._open.is_interactive", lambda: True)
    monkeypatch.setattr("napari_msimage.plugin._open.tell", tell)
    monkeypatch.setattr(_open_replaced, "tell", tell)
    monkeypatch.setattr(_open_replaced, "ask_about_restoring", ask)
    return answers


def test_code_is_told_where_it_lies_and_how_to_get_it_back(killed):
    path, is_abandoned = find_replaced(killed)
    assert is_abandoned
    assert callable(get_reader(killed))
    assert callable(get_reader(f"{killed}/"))
    for opening in (read, lambda uri: read_layers(OpenRequest(uri))):
        with pytest.raises(DoesNotExistError) as caught:
            opening(killed)
        text = str(caught.value)
        assert repr(path) in text
        assert f"Rename that folder to '{Path(killed).name}'" in text
        assert not Path(killed).exists()
    os.rename(path, killed)
    assert read(killed)[0][1]["name"] == "cells"


def test_what_is_said_about_saving_again_is_true(killed, tmp_path):
    write_layers(killed, (np.zeros((3, 4), "uint8"),), replace=True)
    assert [path.name for path in tmp_path.iterdir()] == [Path(killed).name]


def test_a_person_may_have_it_back(killed, answers, tmp_path):
    layers = read(killed)
    assert layers[0][1]["name"] == "cells"
    assert np.asarray(layers[0][0][0]).max() == 7
    (asked, told) = answers["heard"]
    assert asked[0] == killed
    assert "back as it was" in told
    assert not any(".old." in path.name for path in tmp_path.iterdir())


def test_a_person_may_decline(killed, answers):
    answers["answer"] = False
    assert read(killed) == [(None,)]
    assert "Rename that folder" in answers["heard"][-1]
    assert not Path(killed).exists()


def test_a_swap_that_goes_on_is_left_alone(swapping, answers):
    assert read(swapping) == [(None,)]
    (told,) = answers["heard"]
    assert "another program is replacing it. Try again soon" in told
    assert not Path(swapping).exists()


def test_what_cannot_be_moved_back_is_told(killed, answers, monkeypatch):
    def refuse(source, destination):
        raise PermissionError("read-only")

    monkeypatch.setattr("napari_msimage.engines._staging.os.rename", refuse)
    assert read(killed) == [(None,)]
    assert "read-only" in answers["heard"][-1]
    with pytest.raises(AccessError):
        _open_replaced.offer_to_restore(killed)


def test_missing_images_are_missing(tmp_path, answers):
    uri = str(tmp_path / "a.soma")
    assert get_reader(uri) is None
    assert _open_replaced.explain_missing(uri) is None
    assert _open_replaced.explain_missing("s3://bucket/a.soma") is None
    assert _open_replaced.explain_missing("") is None
    (tmp_path / "a.soma.old.2024").mkdir()
    assert get_reader(uri) is None
    assert _open_replaced.explain_missing(uri) is None


def test_napari_gets_the_sentence_from_the_reader(killed):
    with pytest.raises(DoesNotExistError, match="Rename that folder"):
        npe2.read([killed], stack=False, plugin_name="napari-msimage")


def test_who_opens_what_was_moved_aside_is_told_what_it_is(killed, caplog):
    path, _ = find_replaced(killed)
    with caplog.at_level(logging.INFO):
        layers = read_layers(OpenRequest(f"{path}/"))
    assert layers[0][1]["name"] == "cells"
    assert f"was at {killed!r}, and was moved aside" in caplog.text
