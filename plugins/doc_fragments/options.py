# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module of the collection accepts (Task.SHARED_OPTIONS) and wants.

Each takes the first fragment, one of the two about locks, and one of the two about writing.
"""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  host_root:
    description:
      - Tree below which every default path is resolved, component by component.
      - Symbolic links are followed inside this tree, absolute ones too (C(/var/run) is one). A path that leaves it
        is refused.
      - A path that is given explicitly is taken as it is, O(host_root) is not put before it unless its own text says
        so.
      - Paths of directories that hold state are absolute. An empty one is refused.
    type: path
    default: /
  sees_all_processes:
    description:
      - Asserts that C(/proc) shows every process that could own this tree, as with an offline image or a test host.
      - Worked out when omitted. It is true in the initial PID namespace as root, with O(host_root=/).
      - Where it is false, the absence of a process proves nothing, and what has no proved owner is unknown and kept.
      - When it is asserted, mounts that cannot be seen from here are also taken not to exist.
      - And a process whose open files and directories may not be read is then taken to use nothing of this tree.
    type: bool
requirements:
  - Python 3.9 or newer on the managed host
"""

    LOCKING = r"""
options:
  lock_timeout:
    description:
      - How long the whole task may wait for locks, in seconds.
      - When it is over, the error names the process that holds the lock.
    type: float
    default: 10
"""

    NOT_LOCKING = r"""
options:
  lock_timeout:
    description:
      - Accepted because the action group shares it, and without effect here. This module waits for no lock.
    type: float
    default: 10
"""

    WRITING = r"""
options:
  durable:
    description:
      - Write files and directories through to the disk before the task returns.
    type: bool
    default: true
"""

    NOT_WRITING = r"""
options:
  durable:
    description:
      - Accepted because the action group shares it, and without effect here. This module writes nothing.
    type: bool
    default: true
"""

    AS_ROOT = r"""
options: {}
notes:
  - Run as root. Without it, processes of other users cannot be seen, and what has no proved owner is unknown and kept.
"""
