# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the demo shows only where it cannot show the real thing; the rest is seen by whoever runs it."""

from __future__ import annotations

import pytest
from ansible_collections.sandboxed.containers.tests.demo import bundle_by_hand, bundle_story
from ansible_collections.sandboxed.containers.tests.demo.screen import Screen

pytestmark = pytest.mark.long


def test_without_a_containerd_the_same_state_is_made_by_hand_and_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bundle_story, "available", lambda _version: "there is only cgroup v2")
    assert bundle_story.tell(Screen()) == bundle_by_hand.PROVED
    shown = " ".join(capsys.readouterr().out.split())
    for words in ("skipped: there is only cgroup v2", "made by hand", "Directory not empty", "leftover", "unchanged"):
        assert words in shown
