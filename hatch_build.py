"""Put the one real copy of the manifest, ``napari.yaml``, where npe2 looks for it."""

import os
import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManifestHook(BuildHookInterface):
    """Force-include the manifest in wheels, link it for editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run before the wheel is built."""
        manifest = Path(self.root, "napari.yaml")
        inside = Path(self.root, "src/napari_msimage/napari.yaml")
        if version != "editable":
            build_data["force_include"][str(manifest)] = "napari_msimage/napari.yaml"
            return
        inside.unlink(missing_ok=True)
        try:
            inside.symlink_to(os.path.relpath(manifest, inside.parent))
        except OSError:  # Windows without the right to make links
            shutil.copyfile(manifest, inside)
