# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run ansible-test from the copied tree without Docker: ``python ansible_testing.py sanity`` or ``units``.

It wants every interpreter on PATH under its plain name, and a script that puts pip into its virtual environments. It
would download that script from one fixed address; a few lines around pip's own wheel do the same from any index.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import in_tree
import interpreters
import tree

PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")  # what managed hosts may have
REQUIRED = PYTHONS[:-1]  # named as skipped where missing

GET_PIP = """\
import os, sys

wheel = os.path.join(os.path.dirname(os.path.abspath(__file__)), {wheel!r})
sys.path.insert(0, wheel)

if __name__ == "__main__":
    from pip._internal.cli.main import main

    sys.exit(main(["install", "--no-index", wheel]))
"""


def link_interpreters() -> Path:
    """A folder that holds the interpreters of this machine under their plain names, and nothing else."""
    folder = tree.ROOT / ".cache" / "python"
    folder.mkdir(parents=True, exist_ok=True)
    for version in PYTHONS:
        link, found = folder / f"python{version}", interpreters.find(version)
        if found is None or not link.is_symlink() or os.readlink(link) != str(found):
            link.unlink(missing_ok=True)
            if found:
                link.symlink_to(found)
    return folder


def missing_interpreters() -> list[str]:
    """The required versions that this machine does not have; for use after `link_interpreters`."""
    folder = tree.ROOT / ".cache" / "python"
    return [version for version in REQUIRED if not (folder / f"python{version}").exists()]


def seed_pip() -> None:
    """Put pip's wheel, and the script that installs it, where ansible-test looks before it downloads."""
    import ansible_test._internal.python_requirements as module  # only .venv has it

    cache = in_tree.private_home() / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    wanted = set(re.findall(r"\bpip='([\d.]+)'", Path(module.__file__).read_text(encoding="utf-8")))
    if not wanted:
        raise SystemExit("this ansible-test names its pip in an unknown way: mend seed_pip in ansible_testing.py")
    for version in wanted:
        script = cache / f"get_pip_{version.replace('.', '_')}.py"
        if not script.exists():
            download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            subprocess.run([*download, "--dest", str(cache), f"pip=={version}"], check=True)
            script.write_text(GET_PIP.format(wheel=f"pip-{version}-py3-none-any.whl"), encoding="utf-8")


def environment() -> dict[str, str]:
    """PATH begins with the real interpreters; ansible-test finds the collection by itself."""
    known = in_tree.environment()
    shims = [one for one in known["PATH"].split(os.pathsep) if Path(one).name != "shims"]
    known["PATH"] = os.pathsep.join([str(link_interpreters()), *shims])
    for name in ("ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_REMOTE_TMP", "PYTHONPATH"):
        del known[name]
    return known


def main(command: str, arguments: list[str]) -> None:
    """Replace this process by ansible-test."""
    copy = tree.sync()
    with open(tree.TREE / "ansible-test.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two may begin at once
        seed_pip()
        known = environment()
    defaults = {"sanity": [], "units": ["--venv", "--num-workers", "2", "tests/unit/plugins/"]}
    if command == "units":
        for old in (copy / "tests" / "output" / "junit").glob("python*-units.xml"):
            old.unlink()
    os.chdir(copy)
    os.execvpe("ansible-test", ["ansible-test", command, *defaults[command], *arguments], known)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
