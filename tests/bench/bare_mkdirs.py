# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The peer of container_id_mapping: make the same two directories for each name, and nothing more.

Run as ``python bare_mkdirs.py ROOT FILE``; the file has a name a line, and the inner directory's is that backwards.
"""

from __future__ import annotations

import os
import sys


def make_all(root: str, names: list[str]) -> None:
    """Make them in the order of the names."""
    for name in names:
        os.mkdir(f"{root}/{name}", 0o750)
        os.mkdir(f"{root}/{name}/{name[::-1]}", 0o750)


if __name__ == "__main__":
    with open(sys.argv[2], encoding="utf-8") as file:
        make_all(sys.argv[1], file.read().split())
