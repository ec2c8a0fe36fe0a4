"""What was measured, as JSON. It is written after each case, so an interrupted run keeps what it has."""

import datetime
import json
import os
from pathlib import Path
from typing import Any

from speed import machine
from speed.contestants import Contestant

FILE = "speed.json"


class Record:
    """The record of one run. `content` is what is written: time, machine, and the figures of each case."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self.content: dict[str, Any] = {
            "began": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "commit": machine.commit(),
            "machine": machine.describe(),
            "load_before": machine.load(),
            "versions": {},
            "cases": [],
        }

    def ready(self, contestant: Contestant, versions: dict[str, str]) -> None:
        self.content["versions"][contestant.name] = {k: v for k, v in versions.items() if k != "equinox_file"}

    def add(self, contestant: Contestant, result: dict[str, Any]) -> None:
        """Add the figures of the contenders that the contestant shows, and the floor of its own process."""
        case = self._case(result)
        for name, figures in result["contenders"].items():
            if name in contestant.shown:
                case["contenders"][contestant.shown[name]] = figures
            elif name == "floor":
                case["floors"][contestant.name] = figures["seconds"]
        self.content["load_after"] = machine.load()
        self.write()

    def _case(self, result: dict[str, Any]) -> dict[str, Any]:
        for case in self.content["cases"]:
            if (case["case"], case["size"]) == (result["case"], result["size"]):
                return case
        case = {key: result[key] for key in ("case", "size", "unit")}
        self.content["cases"].append({**case, "floors": {}, "contenders": {}})
        return self.content["cases"][-1]

    def write(self) -> None:
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / (FILE + ".unfinished")
        unfinished.write_text(json.dumps(self.content, indent=1) + "\n")
        os.replace(unfinished, self.folder / FILE)
