# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every layout by its name. A new runtime generation is one class beside this file and one line here."""

from __future__ import annotations

from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Layout
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.gvisor import Gvisor, GvisorLegacy

LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (Gvisor(), GvisorLegacy())}
