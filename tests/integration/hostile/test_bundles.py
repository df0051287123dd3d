# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bundles: any name, any namespace, any spec and any file in one (promises 5 and 7, and C9: no link leads out)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.integration.hostile import strategies as made_up
from ansible_collections.sandboxed.containers.tests.integration.hostile.bundle_ground import (
    NAMESPACE,
    WAYS_OUT,
    BundleGround,
    spec,
)
from ansible_collections.sandboxed.containers.tests.integration.hostile.ground import HOST, explore
from ansible_collections.sandboxed.containers.tests.integration.hostile.test_documents import is_json, same
from ansible_collections.sandboxed.containers.tests.integration.hostile.test_names import names_in
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result
from hypothesis import strategies as st

pytestmark = pytest.mark.real
NAME = "web-1"


def check_refusal(answer: Result) -> None:
    """Which option or object, why, and in a last sentence of its own what now."""
    assert re.search(r"\b(container_id|namespace|bundles|spec|spec_file)\b|^(\d+ of|Bundle) ", answer.message)
    ansibles_own = answer.message.startswith("missing required arguments: container_id")
    assert ansibles_own or re.search(r"[.:] [A-Z][^\n]*\.$", answer.message), answer.message


def entry_of(ground: BundleGround) -> dict[str, Any]:
    """What the info module says of the one bundle."""
    found = ground.run("container_bundle_info", container_id=NAME)
    assert not found.failed and len(found.answer["bundles"]) == 1, found.answer
    entry: dict[str, Any] = found.answer["bundles"][0]
    return entry


def test_any_value_as_a_name_or_namespace_gives_a_clean_answer(bundle_ground: BundleGround, factor: int) -> None:
    ground = bundle_ground

    def check(value: Any, namespace: Any, listed: bool, force: bool) -> None:
        ground.build()
        wish: dict[str, Any] = {"container_id": value, "namespace": namespace}
        full = {**wish, "spec": spec()}
        for module, options in (
            ("container_bundle_info", wish),
            ("container_bundle", {"state": "absent", "force": force, **({"bundles": [wish]} if listed else wish)}),
            ("container_bundle", {"state": "present", **({"bundles": [full]} if listed else full)}),
        ):
            answer = ground.run(module, **options)
            touched = ground.touched()
            if answer.failed:
                check_refusal(answer)
            namespaces = {namespace} if isinstance(namespace, str) else {NAMESPACE}
            assert ground.foreign(touched, names_in(value), namespaces) == set(), options
            assert answer.changed is bool(touched), answer.message

    explore(
        check,
        9 * factor,
        value=st.one_of(st.sampled_from(["inner", "file", "fault-10"]), made_up.NAMES),
        namespace=st.one_of(st.none(), st.sampled_from([NAMESPACE, "out-of-all", "inside-out"]), made_up.NAMES),
        listed=st.booleans(),
        force=st.booleans(),
    )


def test_a_name_that_is_accepted_is_made_found_and_removed(bundle_ground: BundleGround, factor: int) -> None:
    ground = bundle_ground

    def check(name: str, namespace: str) -> None:
        ground.build()
        before = ground.seen
        chosen: dict[str, Any] = {"container_id": name, **({} if ground.layout == "oci" else {"namespace": namespace})}
        given = {**chosen, "spec": spec()}
        for state, options, changed in (("present", given, True), ("present", given, False), ("absent", chosen, True)):
            answer = ground.run("container_bundle", **{"state": state, **options})
            assert not answer.failed and answer.changed is changed, answer.message
            touched = ground.touched()
            assert bool(touched) is changed and ground.foreign(touched, {name}, {namespace}) == set()
            found = ground.run("container_bundle_info", **chosen).answer["bundles"][0]
            assert found["exists"] is (state == "present") and found.get("verdict") in (None, "leftover")
            assert ground.touched() == set()
        # A namespace's own directories stay, as containerd's do.
        left = {path for path in before.keys() ^ ground.seen.keys() if Path(path).name != namespace}
        assert left == set()

    explore(check, 3 * factor, name=made_up.NEW_NAMES, namespace=st.one_of(st.just(NAMESPACE), made_up.NEW_NAMES))


def contents(path: Path, usual: Any) -> st.SearchStrategy[tuple[Path, bytes]]:
    """What may be found in the place of a file of a bundle."""
    ways_out = [json.dumps({**usual, "address": way}) if isinstance(usual, dict) else way for way in WAYS_OUT]
    texts = st.sampled_from([way.encode() for way in ways_out])
    return st.tuples(st.just(path), st.one_of(made_up.files(usual), texts))


def test_promise_7_any_file_in_a_bundle_stops_nobody_and_proves_nothing(
    bundle_ground: BundleGround, factor: int
) -> None:
    ground = bundle_ground

    def check(chosen: tuple[Path, bytes], mends: bool) -> None:
        path, data = chosen
        ground.build()
        assert ground.run("container_bundle", container_id=NAME, spec=spec()).changed
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        ground.touched()

        for sees_all, verdicts in ((None, {"unknown"}), (True, {"unknown", "leftover"})):
            found = ground.run("container_bundle_info", sees_all, container_id=NAME, with_documents=True)
            assert not found.failed, found.message
            entry = found.answer["bundles"][0]
            assert entry["exists"] and entry["verdict"] in verdicts and entry["evidence"], entry
            told = any(str(path) in reason for reason in entry["evidence"])
            assert told or is_json(data) or path.suffix != ".json", entry
        assert not ground.run("container_bundle_info").failed  # the listing of all
        kept = ground.run("container_bundle", None, container_id=NAME, state="absent")
        assert kept.failed and not kept.changed
        assert ground.touched() == set()

        if mends:
            made = ground.run("container_bundle", container_id=NAME, spec=spec(), force=True)
            assert not made.failed, made.message
            assert json.loads((ground.place(0, NAME) / "config.json").read_bytes()) == spec()
        done = ground.run("container_bundle", container_id=NAME, state="absent", force=True)
        assert done.changed and not done.failed, done.message
        assert ground.foreign(ground.touched(), {NAME}, {NAMESPACE}) == set()
        # What runc keeps of another bundle stays, and it is said that it does.
        stays = "is left, and runc will refuse the id" in str(done.answer["bundles"][0].get("msg"))
        assert entry_of(ground)["exists"] is stays

    choices = [contents(path, usual) for path, usual in ground.files(NAME)]
    explore(check, 6 * factor, chosen=st.sampled_from(choices).flatmap(lambda one: one), mends=st.booleans())


def test_R3_any_spec_that_is_given_is_written_whole_or_refused(bundle_ground: BundleGround, factor: int) -> None:
    ground = bundle_ground

    def check(content: dict[str, Any], in_a_file: bool) -> None:
        ground.build()
        given: dict[str, Any] = {"container_id": NAME, "spec": content}
        if in_a_file:
            (HOST.parent / "spec.json").write_text(json.dumps(content), encoding="utf-8")
            given = {"container_id": NAME, "spec_file": str(HOST.parent / "spec.json")}
            ground.touched()
        before = ground.seen
        made = ground.run("container_bundle", **given)
        touched = ground.touched()
        assert made.changed is bool(touched) and ground.foreign(touched, {NAME}, {NAMESPACE}) == set()
        if made.failed:
            check_refusal(made)
            assert not made.changed and "spec" in made.message, made.message
            return
        assert same(json.loads((ground.place(0, NAME) / "config.json").read_bytes()), content)
        again = ground.run("container_bundle", **given)
        assert not again.failed and not again.changed and ground.touched() == set(), again.message
        assert not ground.run("container_bundle_info", container_id=NAME, with_documents=True).failed
        assert ground.run("container_bundle", container_id=NAME, state="absent", force=True).changed
        ground.touched()
        assert ground.seen == before

    explore(check, 7 * factor, content=made_up.mappings(spec()), in_a_file=st.booleans())


def test_R3_any_file_that_is_given_as_a_spec_is_a_document_or_refused(bundle_ground: BundleGround, factor: int) -> None:
    ground = bundle_ground

    def check(data: bytes) -> None:
        ground.build()
        (HOST.parent / "spec.json").write_bytes(data)
        ground.touched()
        made = ground.run("container_bundle", container_id=NAME, spec_file=str(HOST.parent / "spec.json"))
        touched = ground.touched()
        assert made.changed is bool(touched) is not made.failed, made.message
        assert ground.foreign(touched, {NAME}, {NAMESPACE}) == set()
        if made.failed:
            check_refusal(made)

    explore(check, 4 * factor, data=made_up.files(spec()))
