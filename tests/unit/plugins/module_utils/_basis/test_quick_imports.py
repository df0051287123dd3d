# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Imports from an archive as Ansible makes one: each file is compiled once, and is what it would have been."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from zipfile import ZipFile

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import quick_imports

HERE = "ansible_collections/sandboxed/containers/plugins/module_utils/_basis"
NAME = f"{HERE.replace('/', '.')}.quick_imports"
MAIN = f"""
import importlib, json, sys
compiled = []
sys.addaudithook(lambda event, args: event == "compile" and compiled.append(str(args[1])))
archive, other, quick = sys.argv[1:]
sys.path[:0] = [archive, other]
import before
if quick == "quick":
    from {NAME.rpartition(".")[0]} import quick_imports
    quick_imports.begin()
import after.inner, elsewhere
seen = [after, after.inner, elsewhere]
missing = []
for name in ("after.missing", "absent"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing.append(str(error))
where = [[one.__name__, one.__file__, one.__spec__.origin, getattr(one, "__path__", None)] for one in seen]
print(json.dumps({{"compiled": compiled, "where": where, "package": after.inner.__package__, "missing": missing}}))
"""


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One archive with the file under test and a package, and another one that is none of its business."""
    folder = tmp_path_factory.mktemp("archives")
    ours, other = folder / "ours.zip", folder / "ours.zip.d.zip"
    with ZipFile(ours, "w") as archive:
        parts = HERE.split("/")
        for depth in range(1, len(parts) + 1):
            archive.writestr(f"{'/'.join(parts[:depth])}/__init__.py", "")
        archive.write(Path(quick_imports.__file__), f"{HERE}/quick_imports.py")
        archive.writestr("before.py", "")
        archive.writestr("after/__init__.py", "WORD = 'package'")
        archive.writestr("after/inner.py", "from after import WORD")
    with ZipFile(other, "w") as archive:
        archive.writestr("elsewhere.py", "")
    return ours, other


def run(archives: tuple[Path, Path], quick: str) -> dict[str, list[str]]:
    words = [sys.executable, "-c", MAIN, *map(str, archives), quick]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_each_file_of_the_archive_is_compiled_once(archives: tuple[Path, Path]) -> None:
    counts = Counter(run(archives, "quick")["compiled"])
    assert counts[f"{archives[0]}/after/__init__.py"] == 1
    assert counts[f"{archives[0]}/after/inner.py"] == 1


def test_all_else_is_as_it_would_be(archives: tuple[Path, Path]) -> None:
    """Names, files, packages, what is not there, and the archives of others."""
    quick, plain = run(archives, "quick"), run(archives, "plain")
    elsewhere = f"{archives[1]}/elsewhere.py"
    assert quick["compiled"].count(elsewhere) == plain["compiled"].count(elsewhere)
    for found in (quick, plain):
        found.pop("compiled")
    assert quick == plain
    assert quick["missing"] == ["No module named 'after.missing'", "No module named 'absent'"]


def test_outside_of_an_archive_nothing_is_led_anywhere() -> None:
    quick_imports.begin()
    assert quick_imports.QuickImporter not in sys.path_hooks
