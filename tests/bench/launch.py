# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a program and say what it took: ``python launch.py OUTPUT ERRORS PROGRAM ARGUMENT...`` prints JSON.

A process of its own, which stays small: the kernel counts what a program's starter has of memory as the program's peak,
and the bench itself grows with the results that it looks at.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def main() -> int:
    """Print ``{status, seconds, cpu, peak}``; peak in bytes, status as Popen.returncode."""
    output, errors, *words = sys.argv[1:]
    with open(output, "wb") as out, open(errors, "wb") as err:
        started = time.perf_counter()
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            _pid, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
        except BaseException:
            process.kill()
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    took = {
        "status": process.returncode,
        "seconds": round(seconds, 4),
        "cpu": round(usage.ru_utime + usage.ru_stime, 4),
        "peak": usage.ru_maxrss * 1024,  # it is given in KiB
    }
    print(json.dumps(took))
    return 0


if __name__ == "__main__":
    sys.exit(main())
