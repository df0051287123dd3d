# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The peer of the modules that look: read every document below some directories, and nothing more.

Run as ``python bare_loop.py DIRECTORY …``; prints how many bytes it read.
"""

from __future__ import annotations

import os
import sys


def read_all(folder: str) -> int:
    """The bytes of all documents at or below a folder; locks are empty and not read, links are not followed."""
    count = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                count += read_all(entry.path)
            elif entry.name != "lock" and not entry.is_symlink():
                with open(entry.path, "rb") as file:
                    count += len(file.read())
    return count


if __name__ == "__main__":
    print(sum(map(read_all, sys.argv[1:])))
