# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The second half of the scan's peer: read every JSON document of what find has found, and nothing more.

Run as ``python bare_files.py FILE``; the file has a path a line. Prints how many bytes it read.
"""

from __future__ import annotations

import sys


def read_all(listing: str) -> int:
    """The bytes of all documents that a listing names."""
    count = 0
    with open(listing, encoding="utf-8") as paths:
        for line in paths:
            if line.endswith((".json\n", ".state\n")):
                with open(line[:-1], "rb") as file:
                    count += len(file.read())
    return count


if __name__ == "__main__":
    print(read_all(sys.argv[1]))
