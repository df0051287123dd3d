# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bind mounts in a mount namespace of their own, for as long as the bench wants them.

Run as ``unshare --mount --propagation private python mounted.py SOURCE``, with the directories to be covered on
standard input, one a line, up to an empty line. It says "ready" and ends with its standard input; so do the mounts.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ansible_collections.sandboxed.containers.tests.bench.payload import BenchFailure
from ansible_collections.sandboxed.containers.tests.lab.mounting import bind


def main(source: str) -> None:
    """Cover them, and wait."""
    for line in iter(sys.stdin.readline, "\n"):
        bind(Path(source), Path(line[:-1]))
    print("ready", flush=True)
    sys.stdin.read()


@contextmanager
def mounts(source: Path, places: list[Path]) -> Iterator[list[str]]:
    """Mount a directory on others; gives the beginning of a command that runs where they are mounted.

    Raises BenchFailure where that is not allowed.
    """
    words = ["unshare", "--mount", "--propagation", "private", sys.executable, __file__, str(source)]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        with suppress(BrokenPipeError):  # it has ended, and says why
            process.stdin.write("".join(f"{place}\n" for place in places) + "\n")
            process.stdin.flush()
        if process.stdout.readline() != "ready\n":
            _output, errors = process.communicate()
            raise BenchFailure(f"nothing can be mounted, which only root may do: {errors.strip()}")
        yield ["nsenter", f"--mount=/proc/{process.pid}/ns/mnt"]
    finally:
        with suppress(ValueError):  # it was waited for already
            process.communicate()


if __name__ == "__main__":
    main(sys.argv[1])
