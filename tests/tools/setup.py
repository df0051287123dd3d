# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create or refresh ``.venv`` with the tools that tests/requirements.txt pins. Does nothing where nothing changed.

Runs under any Python from 3.9 on; the environment gets the newest interpreter that a supported ansible-core runs on.
Needs nothing but that interpreter and a package index: where Debian's python3-venv is missing, pip's wheel is unpacked
below the checkout. uv then uses the index that pip is configured for.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import interpreters

CONTROLLERS = ("3.14", "3.13", "3.12", "3.11")  # newest first; the markers in the pins say which ansible-core each gets
ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PINS = ROOT / "tests" / "requirements.txt"
STAMP = VENV / "stamp"


def fingerprint() -> str:
    """Changes with the pins and with the interpreters that could be chosen."""
    where = interpreters.folders()
    found = [(str(path), path.stat().st_mtime) for one in CONTROLLERS for path in interpreters.candidates(one, where)]
    known = [PINS.read_text(encoding="utf-8"), Path(__file__).read_text(encoding="utf-8"), str(VENV), found]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def is_current(wanted: str) -> bool:
    """Whether the environment was completed for this fingerprint and still has its interpreter."""
    try:
        return STAMP.read_text(encoding="utf-8") == wanted and PYTHON.exists()
    except FileNotFoundError:
        return False


def choose() -> Path:
    """The newest interpreter that works."""
    for version in CONTROLLERS:
        found = interpreters.find(version)
        if found:
            return found
    raise SystemExit(f"No Python {CONTROLLERS[-1]} or newer was found. On Debian 12: apt-get install python3")


def run(*command: object, env: dict[str, str] | None = None) -> None:
    """Run a command quietly; its output is shown if it fails."""
    words = [str(word) for word in command]
    caches = {"UV_CACHE_DIR": str(ROOT / ".cache" / "uv"), "PIP_CACHE_DIR": str(ROOT / ".cache" / "pip")}
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**(env or os.environ), **caches},
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{done.stdout}\nset-up failed ({done.returncode}): {' '.join(words)}")


def pip_wheel() -> Path:
    """pip's wheel from Debian's package python3-pip-whl, unpacked below the checkout: needs no root."""
    sys.path.insert(0, str(ROOT / "tests" / "lab"))
    import packages  # type: ignore[import-not-found]  # a file of tests/lab, needed only here

    try:
        folder = Path(packages.package("python3-pip-whl"))
    except packages.Unavailable as exc:
        raise SystemExit(f"This Python has no ensurepip: install python3-venv, or mend this: {exc}") from exc
    return next(folder.glob("usr/share/python-wheels/pip-*.whl"))


def uv_environment() -> dict[str, str]:
    """The environment for uv: it reads no pip configuration, so hand on the index and certificates that pip uses."""
    listing = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    pairs = (line.partition("=")[::2] for line in listing.stdout.splitlines())
    settings = {name.rpartition(".")[2]: value.strip("'\"") for name, value in pairs}
    given = {"UV_DEFAULT_INDEX": settings.get("index-url"), "SSL_CERT_FILE": settings.get("cert")}
    known = {name: value for name, value in given.items() if value}
    return {**known, **os.environ}


def install(interpreter: Path) -> None:
    """Make the environment anew. The stamp comes last, so that a broken attempt is repeated."""
    shutil.rmtree(VENV, ignore_errors=True)
    has_pip = subprocess.run([interpreter, "-c", "import ensurepip"], capture_output=True, check=False).returncode == 0
    run(interpreter, "-m", "venv", VENV, *([] if has_pip else ["--without-pip"]))
    uv_pin = next(line.split()[0] for line in PINS.read_text(encoding="utf-8").splitlines() if line.startswith("uv=="))
    pip = ["-m", "pip"] if has_pip else [pip_wheel() / "pip"]
    run(PYTHON, *pip, "install", "--quiet", "--disable-pip-version-check", uv_pin)
    if not has_pip:
        run(VENV / "bin" / "uv", "pip", "install", "--python", PYTHON, "pip", env=dict(os.environ))
    run(VENV / "bin" / "uv", "pip", "install", "--python", PYTHON, "-r", PINS, env=uv_environment())


def main() -> None:
    """Set up, once at a time."""
    wanted = fingerprint()
    if is_current(wanted):
        return
    (ROOT / ".cache").mkdir(exist_ok=True)
    with open(ROOT / ".cache" / "setup.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_current(wanted):
            return
        started = time.monotonic()
        interpreter = choose()
        print(f"Setting up the tools in .venv with {interpreter} ...", flush=True)
        install(interpreter)
        STAMP.write_text(wanted, encoding="utf-8")
        print(f"... done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
