"""What the distribution `jax-matrix` holds, and what it depends on.

The harness finds its own files by their place in the checkout. So the wheel keeps the folders of the checkout: they lie
in the package `jax_matrix`. A source distribution has no checkout around it, so it brings them in the folder `home`.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

FILES = ("harness", "docker", "tox.ini", "toxfile.py", "LICENSE")
LEFT_OUT = (
    "__pycache__",
    "README.md",
    "hatch_build.py",
    "jax_matrix",
    "pyproject.toml",
    "requirements.lock",
    "requirements.txt",
)


class Files(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files of the checkout, or of the source distribution."""
        if version == "editable":
            raise ValueError("In a checkout the command is `python -m harness`: an editable install would add nothing.")
        unpacked = Path(self.root, "home")
        home = unpacked if unpacked.is_dir() else Path(self.root).parent
        place = {"sdist": "home", "wheel": "jax_matrix"}[self.target_name]
        for name in FILES:
            parts = sorted((home / name).iterdir()) if name == "harness" else [home / name]
            for path in parts:
                if path.name not in LEFT_OUT:
                    build_data["force_include"][str(path)] = "{}/{}".format(place, path.relative_to(home).as_posix())


class Dependencies(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        """Take the dependencies from requirements.txt, from which the tools of a checkout are installed too."""
        lines = Path(self.root, "requirements.txt").read_text(encoding="utf-8").splitlines()
        metadata["dependencies"] = [line for line in lines if line and not line.startswith("#")]
