from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.data.remote import RemoteError
from llmgym.data.remote.manifest import SUFFIX, File, Manifest, is_name, load

SHA = "0" * 64
names = st.from_regex(r"\w[\w.+=@ -]{0,20}", fullmatch=True)


@given(names, st.lists(names, unique_by=str.casefold), st.booleans(), st.integers(0, 2**62))
def test_a_manifest_comes_back(name: str, inside: list[str], complete: bool, size: int) -> None:
    files = tuple(File(f"{name}/{path}", size, SHA) for path in inside)
    made = Manifest(name, "run", files, complete, facts={"rows": 3})
    assert load(made.dump(), f"s3://there/{name}{SUFFIX}") == made


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "first/../../x", "first/./x", "first//x", "first/.git/hooks", "first/a\nb", "first\\..\\x",
     "", "other/x", "other.manifest.json", "first/"],
)  # fmt: skip
def test_files_have_a_place_below_the_folder(path: str) -> None:
    made = Manifest("first", "run", (File(path, 1, SHA),))
    with pytest.raises(RemoteError, match="can be none of its own"):
        load(made.dump(), f"s3://there/first{SUFFIX}")


@given(st.text())
def test_a_name_is_one_step_down(text: str) -> None:
    if is_name(text):
        assert "/" not in text
        assert "\\" not in text
        assert not text.startswith(".")
        assert text.isprintable()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "was not written by"),
        ({"kind": "virus"}, "was not written by"),
        ({"files": [{"path": "first/x", "size": -1, "sha256": SHA}]}, "can be none of its own"),
        ({"files": [{"path": "first/x", "size": 1, "sha256": "0"}]}, "can be none of its own"),
        ({"files": [{"path": f"first/{name}", "size": 1, "sha256": SHA} for name in "xX"]}, "names a file twice"),
        ({"name": "second"}, "of another name"),
    ],
)
def test_what_is_no_manifest_says_so(change: dict[str, Any], said: str) -> None:
    data = msgspec.to_builtins(Manifest("first", "run", ())) | change
    with pytest.raises(RemoteError, match=said):
        load(msgspec.json.encode(data), f"s3://there/first{SUFFIX}")
    with pytest.raises(RemoteError, match="was not written by"):
        load(b"\xff[", f"s3://there/first{SUFFIX}")
