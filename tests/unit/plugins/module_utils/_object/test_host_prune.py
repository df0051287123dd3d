# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gc
import weakref
from typing import cast

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InUse
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Terms
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_prune import Pruner
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import Selection
from ansible_collections.sandboxed.containers.plugins.module_utils._object.items import Item
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_host import (
    Thing,
    facts_of,
    judged,
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


@pytest.mark.parametrize(("before_boot", "kept"), [(90_000, True), (-1, False)])
def test_F1_the_last_look_keeps_what_is_on_memory_and_older_than_the_boot(before_boot: int, kept: bool) -> None:
    """As the scan does: then the clock was stepped, and its age says nothing."""
    facts = (facts_of(changed=host.boot_time() - before_boot),)
    wanted = judged("socket", "web-1")._replace(candidate=Thing("socket", "web-1", facts=facts))
    pruner = Pruner(scan_of(wanted), [wanted], Selection(min_age=0), Terms(False, False))
    item = cast(Item, object())
    pruner._by_item[id(item)] = wanted
    pruner._guard(item, view_of())  # the first plan, made right after the scan
    if kept:
        with pytest.raises(InUse, match="it is older than this boot"):
            pruner._guard(item, view_of())
    else:
        pruner._guard(item, view_of())
