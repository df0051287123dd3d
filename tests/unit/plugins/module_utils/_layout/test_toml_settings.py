# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of a TOML document: found as Python's own reader finds them, or the document is unreadable."""

from __future__ import annotations

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.containerd_config import is_daemon
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.toml_settings import settings_of

FOUND = {
    "in a table": ('[crio]\nroot = "/data"', ["/data"]),
    "with a quoted name": ('[crio]\n"root" = "/data"', ["/data"]),
    "with a dotted name": ('crio.root = "/data"\nstorage . "graphroot"="/more"', ["/data", "/more"]),
    "a literal": ("root='/da\\ta' # \"/other\"", ["/da\\ta"]),
    "with the other quote in it": ('root = "/it\'s"', ["/it's"]),
    "behind a comment": ('# root = "/x"\n  root = "/data" # ours', ["/data"]),
    "behind a list with brackets": ('other = [ # see [1]\n "]" ]\nroot = "/data"', ["/data"]),
    "behind a text of more lines": ('other = """\nroot = "/x"\n"""\nroot = "/data"', ["/data"]),
    "behind a table of tables": ('[[plugin]]\nname = 7.5\n[a."b.c"]\nroot = "/data"', ["/data"]),
    "behind numbers and dates": ('a = -1_000\nb = 1979-05-27T07:32:00Z\nc = [1.5, true]\nroot = "/data"', ["/data"]),
    "with bytes that are no text": ('root = "/d\udcff"', ["/d\udcff"]),
    "with a mark of its order": ('\ufeffroot = "/data"', ["/data"]),
    "with another one's name": ('my_root = "/x"\nroot_dir = "/y"\nroot.dir = "/z"', []),
    "a list": ("root = [ # see [1]\n \"/a\", # don't\n '/b[ab]',\n]", ["/a", "/b[ab]"]),
    "an empty one": ("root = []", []),
    "nothing": ("", []),
}
NOT_UNDERSTOOD = {
    "an escape": 'root = "\\u002fdata"',
    "an escape in a name": '"\\u0072oot" = "/data"',
    "more lines": 'root = """/data"""',
    "more literal lines": "root = '''/data'''",
    "a table in one line": 'storage = { driver = "overlay", graphroot = "/data" }',
    "a table in one line, with a quoted name": 'storage = { "graphroot" = "/data" }',
    "a number": "root = 7",
    "a list of lists": 'root = [["/data"]]',
    "no quotes": "root = /data",
    "a quote that is not closed": 'other = "\nroot = "/data"',
    "a NUL": 'root = "/a\0b"',
    "a literal with a NUL": "root = '/a\0b'",
    "a text that is not closed": 'other = """\nroot = "/data"',
}


@pytest.mark.parametrize(("text", "values"), FOUND.values(), ids=FOUND)
def test_A5_a_setting_is_found_however_it_is_written(text: str, values: list[str]) -> None:
    found = settings_of(text.encode(errors="surrogateescape"), "/c.toml", ("root", "graphroot"))
    assert [value for setting in found for value in setting.values] == values


@pytest.mark.parametrize("text", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_A5_what_is_not_understood_is_not_absent(text: str) -> None:
    with pytest.raises(Unreadable, match=r"/c.toml: line \d.*on a line of its own"):
        settings_of(text.encode(), "/c.toml", ("root", "graphroot"))


def test_A5_a_document_is_not_cut() -> None:
    with pytest.raises(Unreadable, match="it has 1048577 bytes, more than 1048576"):
        settings_of(b"#" * (1 << 20) + b"\n", "/c.toml", ("root",))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ('root = "/a"\n[grpc]\nroot = "/b"\n', [("root",)]),
        ('plugins.root = "/a"\nroot = "/b"\n', [("root",)]),
        (' [ "grpc" ] # now\nroot = "/b"\n', []),
        ("version = 2\nbroken = 'x'\n[grpc]\nnot toml = /\n", []),
    ],
)
def test_A10_those_at_the_top_alone(text: str, keys: list[tuple[str, ...]]) -> None:
    assert [one.key for one in settings_of(text.encode(), "/c.toml", ("root",), is_top_only=True)] == keys


@pytest.mark.parametrize(
    ("words", "serves"),
    [
        ("containerd", True),
        ("containerd --config /etc/c.toml -l debug", True),
        ("containerd -c=/etc/c.toml --root config --state publish", True),
        ("containerd --address /run/c.sock publish --topic /tasks/exit --namespace k8s.io", False),
        ("containerd config dump", False),
        ("containerd --version", True),
    ],
)
def test_A10_a_containerd_with_a_command_keeps_nothing(words: str, serves: bool) -> None:
    assert is_daemon(tuple(words.split())) is serves
