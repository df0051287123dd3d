# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gc
import weakref

from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Terms
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_prune import Pruner
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import Selection
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_host import (
    Thing,
    scan_of,
    view_of,
)


def test_A1_a_view_keeps_the_object_whose_evidence_it_keeps() -> None:
    """Or the next object, which may get the same id(), would get its evidence."""
    pruner, view = Pruner(scan_of(), [], Selection(), Terms(False, False)), view_of()
    one = Thing("sandbox", "web-1")
    assert pruner._evidence(one, view) is not None
    known = weakref.ref(one)
    del one
    gc.collect()
    assert known() is not None
