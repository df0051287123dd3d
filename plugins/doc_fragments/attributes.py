# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attributes of the modules, and what an info module does differently."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/sandboxed.containers.containers) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - sandboxed.containers.containers
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description:
      - Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
    support: full
  idempotent:
    description: The same task again reports no change.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    platforms: linux
    support: full
  safe_file_operations:
    description:
      - Writes are atomic, under the lock that the runtime itself takes, and deletes follow no link and cross no
        mount.
    support: full
"""

    INFO = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/sandboxed.containers.containers) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - sandboxed.containers.containers
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
    details: Looking changes nothing.
  diff_mode:
    description:
      - Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
    support: N/A
    details: Nothing is changed.
  platform:
    description: Target OS/families that can be operated against.
    platforms: linux
    support: full
"""
