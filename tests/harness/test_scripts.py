"""The shell scripts of the repository."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LISTED = subprocess.run(["git", "ls-files", "-z"], cwd=str(ROOT), stdout=subprocess.PIPE, check=False).stdout
SHELLS = {b"#!/bin/sh": "sh", b"#!/usr/bin/env bash": "bash"}


def shell_of(name):
    path = ROOT / name
    return SHELLS.get(path.read_bytes().split(b"\n", 1)[0]) if path.is_file() else None


SCRIPTS = [name for name in LISTED.decode().split("\0") if name and shell_of(name)]


@pytest.mark.parametrize("name", SCRIPTS or [pytest.param("", marks=pytest.mark.skip("this is no git checkout"))])
def test_the_shell_can_parse_each_script(name):
    checked = subprocess.run([shell_of(name), "-n", str(ROOT / name)], stderr=subprocess.PIPE, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
