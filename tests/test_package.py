"""The package as a whole: what it exports, how it is installed, what it promises."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from pathlib import Path

import npe2
import pytest
import yaml

import napari_msimage
from napari_msimage.plugin import _doctor

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(napari_msimage.__path__, "napari_msimage.")
)
HEAVY = {"napari", "qtpy", "PyQt6", "vispy", "magicgui", "dask", "tiledb", "skimage"}
CLEAN_ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}


def run_python(*arguments, python=sys.executable, **options):
    """Run Python in another process and return what it printed; fail loudly."""
    done = subprocess.run(
        [python, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=CLEAN_ENVIRONMENT,
        check=False,
        **options,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class TestPublicNames:
    @pytest.mark.parametrize("name", napari_msimage.__all__)
    def test_every_public_name_resolves(self, name):
        assert getattr(napari_msimage, name).__name__ == name

    def test_public_names_are_listed(self):
        assert set(napari_msimage.__all__) <= set(dir(napari_msimage))

    def test_unknown_name_is_an_attribute_error(self):
        with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
            _ = napari_msimage.Nonsense

    def test_version_is_the_static_one(self):
        assert PYPROJECT["project"]["version"] == napari_msimage.__version__

    @pytest.mark.parametrize(
        "statement",
        [
            "import napari_msimage",
            "from napari_msimage import Axis, ScaleTransform, SOMAError",
        ],
    )
    def test_light_imports_stay_light(self, statement):
        loaded = run_python(
            "-c",
            f"{statement}; import sys; print(*sys.modules)",
        )
        assert not HEAVY & set(loaded.split())
        assert "napari_msimage" in loaded.split()

    @pytest.mark.parametrize("name", MODULES)
    def test_docstring_examples_run(self, name):
        assert doctest.testmod(importlib.import_module(name)).failed == 0


class TestManifest:
    def test_installed_manifest_is_valid_and_its_commands_import(self):
        manifest = npe2.PluginManifest.from_distribution("napari-msimage")
        manifest.validate_imports()
        assert manifest.name == PYPROJECT["project"]["name"]

    def test_installed_manifest_is_the_one_at_the_top(self):
        top = npe2.PluginManifest.from_file(ROOT / "napari.yaml")
        installed = npe2.PluginManifest.from_distribution("napari-msimage")
        assert installed.contributions == top.contributions


@pytest.fixture(scope="module")
def source_tree(tmp_path_factory):
    """Return a copy of the sources as a release has them: no git, nothing built."""
    tree = tmp_path_factory.mktemp("source") / "napari-msimage"
    shutil.copytree(
        ROOT / "src",
        tree / "src",
        ignore=shutil.ignore_patterns("napari.yaml", "__pycache__"),
    )
    for name in (
        "pyproject.toml",
        "hatch_build.py",
        "napari.yaml",
        "README.md",
        "LICENSE",
        ".gitignore",
    ):
        shutil.copy(ROOT / name, tree)
    return tree


@pytest.fixture
def environment(tmp_path):
    """Return the Python of an environment with everything but this package."""
    run_python("-m", "venv", "--without-pip", tmp_path / "venv")
    variables = {"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")}
    site = Path(sysconfig.get_path("purelib", vars=variables))
    others = tmp_path / "others"
    others.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "napari_msimage" not in entry.name and entry.suffix != ".pth":
            (others / entry.name).symlink_to(entry)
    (site / "others.pth").write_text(str(others), encoding="utf-8")
    return Path(sysconfig.get_path("scripts", vars=variables)) / "python"


def install(python, *what):
    run_python(
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        *what,
        python=python,
    )


def discovered_manifest(python, folder):
    """Return the manifest that npe2 discovers with another Python, and from where."""
    code = (
        "import importlib.util, json, npe2; manager = npe2.PluginManager(); "
        "manager.discover(); manifest = manager.get_manifest('napari-msimage'); "
        "where = importlib.util.find_spec('napari_msimage').origin; "
        "print(json.dumps([json.loads(manifest.json()), where]))"
    )
    manifest, where = json.loads(run_python("-c", code, python=python, cwd=folder))
    return manifest, Path(where)


@pytest.mark.slow
class TestInstalling:
    def expected(self):
        return json.loads(npe2.PluginManifest.from_file(ROOT / "napari.yaml").json())

    def assert_found(self, manifest):
        expected = self.expected()
        assert manifest["display_name"] == expected["display_name"]
        assert manifest["contributions"] == expected["contributions"]

    def test_plain_install(self, environment, source_tree, tmp_path):
        install(environment, source_tree)
        manifest, where = discovered_manifest(environment, tmp_path)
        self.assert_found(manifest)
        assert tmp_path in where.parents

    def test_wheel_built_from_the_sdist(self, environment, source_tree, tmp_path):
        run_python(
            "-m",
            "hatchling",
            "build",
            "-t",
            "sdist",
            "-d",
            tmp_path / "dist",
            cwd=source_tree,
        )
        (sdist,) = (tmp_path / "dist").iterdir()
        with tarfile.open(sdist) as archive:
            names = archive.getnames()
        assert [Path(name).name for name in names].count("napari.yaml") == 1
        install(environment, sdist)
        manifest, where = discovered_manifest(environment, tmp_path)
        self.assert_found(manifest)
        assert tmp_path in where.parents

    def test_editable_install_follows_the_manifest(
        self, environment, source_tree, tmp_path
    ):
        tree = shutil.copytree(source_tree, tmp_path / "tree")
        install(environment, "--editable", tree)
        manifest, where = discovered_manifest(environment, tmp_path)
        self.assert_found(manifest)
        assert tree in where.parents
        top = tree / "napari.yaml"
        changed = yaml.safe_load(top.read_text(encoding="utf-8"))
        changed["display_name"] = "Another name"
        top.write_text(yaml.safe_dump(changed), encoding="utf-8")
        manifest, _ = discovered_manifest(environment, tmp_path)
        assert manifest["display_name"] == "Another name"


class TestRepository:
    def test_system_packages_of_doctor_are_installed_by_make(self):
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert set(_doctor.DEBIAN_PACKAGES.values()) <= set(makefile.split())

    @pytest.mark.parametrize("folder", ["src", "tests", "benchmarks"])
    def test_nothing_reads_beyond_the_repository(self, folder):
        neighbour = "../" + "shared"
        texts = [
            path
            for path in (ROOT / folder).rglob("*")
            if path.suffix in {".py", ".md", ".toml", ".yaml", ".json"}
        ]
        assert not [
            path for path in texts if neighbour in path.read_text(encoding="utf-8")
        ]

    @pytest.mark.gui
    @pytest.mark.slow
    def test_python_blocks_of_the_readme_run(self, tmp_path):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        assert blocks, "README.md has no ```python block"
        for block in blocks:
            # In order and in one folder: later blocks use what earlier ones wrote.
            code = f"import napari\nnapari.run = lambda: None\n{block}"
            run_python("-c", code, cwd=tmp_path)
