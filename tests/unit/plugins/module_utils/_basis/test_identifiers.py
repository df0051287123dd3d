# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import (
    NameRule,
    as_name,
    as_names,
    check_known_name,
    check_new_name,
)

ANY = NameRule()
LETTERS = NameRule("[a-z]+", "have only lower-case letters", 10)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (83, '83 is a number, not a name (YAML reads an unquoted 0123 as 83). Quote it: x: "83", or "0123"'),
        (123, '123 is a number, not a name (YAML reads an unquoted 0173 as 123). Quote it: x: "123", or "0173"'),
        (0, '0 is a number, not a name. Quote it: x: "0".'),
        (-5, '-5 is a number, not a name. Quote it: x: "-5".'),
        (1.5, '1.5 is a number, not a name. Quote it: x: "1.5".'),
        (True, 'True is a boolean, not a name. Quote it: x: "yes".'),
        (False, 'False is a boolean, not a name. Quote it: x: "no".'),
    ],
    ids=repr,
)
def test_R8_what_yaml_made_a_number_is_refused_with_quote_it(value: Any, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        as_name(value, "x")
    assert str(caught.value) == f"x: {text}" + (" if it was written so." if text.endswith('"') else "")


@pytest.mark.parametrize("value", [None, ["a"], {"a": 1}], ids=["null", "list", "mapping"])
def test_R8_what_is_no_text_is_no_name(value: Any) -> None:
    with pytest.raises(InvalidInput, match=rf"o: .*{type(value).__name__}"):
        as_name(value, "o")


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (" a , b ", ["a", "b"]),
        (["a", "b"], ["a", "b"]),
        (["a,b"], ["a,b"]),
        (["a "], ["a "]),
        ([], []),
        ("0123", ["0123"]),
    ],
    ids=["one", "commas", "blanks", "list", "a comma inside a list", "a blank inside a list", "empty list", "digits"],
)
def test_names_from_one_several_or_commas(value: Any, names: list[str]) -> None:
    assert as_names(value, "o") == names


@pytest.mark.parametrize("value", ["", " ", ",", "a,", "a,,b"], ids=repr)
def test_an_empty_text_never_means_nothing_or_all(value: str) -> None:
    """An unset variable must not become a wish: the empty name is kept, and refused as a name."""
    with pytest.raises(InvalidInput, match=r"'' is (not a name|given twice)"):
        [check_known_name(name, "o", ANY) for name in as_names(value, "o")]


@pytest.mark.parametrize("value", ["a,a", ["a", "b", "a"]], ids=repr)
def test_a_name_that_is_given_twice_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match="'a' is given twice"):
        as_names(value, "o")


def test_one_number_in_a_list_is_refused_whole() -> None:
    with pytest.raises(InvalidInput, match=r"83 is a number.*Quote it"):
        as_names(["a", 83], "o")


@pytest.mark.parametrize(
    "name", ["a", "A1", "a.b", "a_b", "a-b", "-a", ".a", "a..b", "…", "a:b", "a b", "x" * 255, "0"]
)
def test_R8_known_names_are_whatever_can_be_one_path_component(name: str) -> None:
    assert check_known_name(name, "o", ANY) == name


@pytest.mark.parametrize("name", ["", ".", "..", "/", "a/b", "../a", "/a", "a/"])
def test_R8_always_refused(name: str) -> None:
    for check in (check_known_name, check_new_name):
        with pytest.raises(InvalidInput) as caught:
            check(name, "o", ANY)
        assert f"'{name}' is not a name" in str(caught.value)
        assert "not empty, '.' or '..', and has no '/'" in str(caught.value)


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "\x1b[31m", "a\x7f", "a\udc80", "\t"], ids=ascii)
def test_R8_control_characters_are_refused_and_shown_escaped(name: str) -> None:
    for check in (check_known_name, check_new_name):
        with pytest.raises(InvalidInput, match="has a control character or is not valid Unicode") as caught:
            check(name, "o", ANY)
        str(caught.value).encode("utf-8")
        assert not re.search(r"[\x00-\x1f\x7f]", str(caught.value))


@pytest.mark.parametrize("name", ["A", "a1", "a-b", "é", "a\u2028"], ids=ascii)
def test_R8_a_layouts_own_characters_are_named_in_the_message(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"cannot be a name in this layout.*only lower-case letters"):
        check_known_name(name, "o", LETTERS)


def test_over_long_names_count_bytes_and_suffixes() -> None:
    fits, too_long = "x" * 245, "x" * 246
    assert check_known_name(fits, "o", LETTERS) == fits
    with pytest.raises(
        InvalidInput, match=r"too long: its file name would have 256 bytes\. A file name has at most 255"
    ):
        check_known_name(too_long, "o", LETTERS)
    with pytest.raises(InvalidInput, match="258 bytes"):
        check_known_name("é" * 129, "o", ANY)


@pytest.mark.parametrize("name", ["ab", "a1", "1a", "web-1", "a.b_c-d", "A" * 76, "5e8491393fab78ba5b249d34442b4225"])
def test_R8_new_names_that_every_runtime_accepts(name: str) -> None:
    assert check_new_name(name, "o", ANY) == name


@pytest.mark.parametrize(
    "name",
    ["a", "-ab", "ab-", "a--b", "a._b", ".ab", "a b", "a+b", "a,b", "a:b", "éé", "A" * 77, "ab\u0661", "a" * 200],
)
def test_R8_new_names_that_some_runtime_refuses(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_new_name(name, "o", ANY)
    text = str(caught.value)
    assert "cannot be the name of something new" in text
    assert "2 to 76 letters (A-Z, a-z) and digits, with single '.', '_' or '-' between them" in text
    assert len(text) < 300


def test_a_new_name_obeys_the_layouts_length_too() -> None:
    with pytest.raises(InvalidInput, match="too long"):
        check_new_name("a" * 70, "o", NameRule("", "", 200))
