"""The `edit` command, run as the agent runs it, under every awk that is here."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentui.sandbox.image import TOOLS_FOLDER

EDIT = TOOLS_FOLDER / "bin/edit"
AWKS = [name for name in ("mawk", "gawk", "original-awk", "bwk") if shutil.which(name)] or ["awk"]


def block(search: str, replace: str, width: int = 7) -> str:
    return f"{'<' * width} SEARCH\n{search}{'=' * width}\n{replace}{'>' * width} REPLACE\n"


@pytest.fixture(params=AWKS)
def awk_path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A PATH on which `awk` is one of the awks here."""
    folder = tmp_path / "awk"
    folder.mkdir()
    found = shutil.which(request.param)
    assert found is not None
    (folder / "awk").symlink_to(found)
    return f"{folder}:/usr/bin:/bin"


def run(file: Path | str, blocks: str | bytes, path: str, cwd: Path | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        ["bash", str(EDIT), str(file)],
        input=blocks if isinstance(blocks, bytes) else blocks.encode(),
        capture_output=True,
        env={"PATH": path},
        cwd=cwd,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def test_a_unique_block_is_replaced_and_shown_as_a_diff(tmp_path: Path, awk_path: str) -> None:
    file = tmp_path / "f.py"
    file.write_text("def a():\n    return 1\n\ndef b():\n    return 1\n")
    code, out, err = run(
        "f.py", block("def b():\n    return 1\n", "def b():\n    return 2\n"), awk_path, tmp_path
    )
    assert (code, err) == (0, "")
    assert file.read_text() == "def a():\n    return 1\n\ndef b():\n    return 2\n"
    assert out.startswith("--- a/f.py\n+++ b/f.py\n@@ ")
    assert "-    return 1\n+    return 2\n" in out


def test_several_blocks_apply_in_order(tmp_path: Path, awk_path: str) -> None:
    file = tmp_path / "f"
    file.write_text("1\n2\n3\n")
    code, _, _ = run(file, block("1\n", "one\nmore\n") + "\n" + block("more\n2\n", "2\n"), awk_path)
    assert (code, file.read_text()) == (0, "one\n2\n3\n")


def test_one_bad_block_leaves_the_file_untouched(tmp_path: Path, awk_path: str) -> None:
    file = tmp_path / "f"
    file.write_text("1\n2\n")
    code, out, err = run(file, block("1\n", "one\n") + block("never\n", "x\n"), awk_path)
    assert (code, out, file.read_text()) == (1, "", "1\n2\n")
    assert "block 2: SEARCH not found" in err


def test_a_block_found_twice_names_the_places(tmp_path: Path, awk_path: str) -> None:
    file = tmp_path / "f"
    file.write_text("x\ny\nx\n")
    code, _, err = run(file, block("x\n", "z\n"), awk_path)
    assert code == 1
    assert "occurs 2 times" in err
    assert "lines 1, 3" in err
    assert file.read_text() == "x\ny\nx\n"


def test_lines_are_compared_as_text_never_as_numbers(tmp_path: Path, awk_path: str) -> None:
    file = tmp_path / "f"
    file.write_text("1.0\n1\n01\n")
    code, _, _ = run(file, block("1\n", "0x1\n"), awk_path)
    assert (code, file.read_text()) == (0, "1.0\n0x1\n01\n")
    code, _, _ = run(file, block("01\n", "1\n"), awk_path)
    assert (code, file.read_text()) == (0, "1.0\n0x1\n1\n")


def test_whole_lines_only(tmp_path: Path, awk_path: str) -> None:
    file = tmp_path / "f"
    file.write_text("prefix end\n")
    assert run(file, block("end\n", "x\n"), awk_path)[0] == 1


@pytest.mark.parametrize(
    ("text", "search", "told"),
    [
        ("def a():\n\treturn 1\n", "def a():\n    return 1\n", "differ from it only in blanks"),
        ("a\nb\nc\nd\n", "b\nc\nX\n", "line 4 of the file is\n  d\nwhere SEARCH has\n  X"),
        ("a\nb\n", "b\nc\n", "goes on after the end of the file"),
        ("alpha\nbeta gamma\n", "beta gamme(x)\n", "is line 2 of the file:\n  beta gamma"),
        ("alpha\n", "zzz\n", "nor any line like"),
    ],
)
def test_a_block_not_found_shows_the_nearest_place(
    tmp_path: Path, awk_path: str, text: str, search: str, told: str
) -> None:
    file = tmp_path / "f"
    file.write_text(text)
    code, _, err = run(file, block(search, "new\n"), awk_path)
    assert (code, file.read_text()) == (1, text)
    assert told in err


@pytest.mark.parametrize(
    ("blocks", "told"),
    [
        ("", "no block on standard input"),
        ("hello\n", "line 1 of the input is outside of a block: hello"),
        ("<<<<<<< SEARCH\na\n=======\nb\n", "does not end with >>>>>>> REPLACE"),
        ("<<<<<<< SEARCH\na\n>>>>>>> REPLACE\n", "has no ======= line"),
        ("<<<<<<< SEARCH\na\n=======\nb\n=======\n>>>>>>> REPLACE\n", "more than one ======= line"),
        ("<<<<<<< SEARCH\n=======\nb\n>>>>>>> REPLACE\n", "SEARCH is empty"),
        (block("a\n", "a\n"), "nothing to change"),
    ],
)
def test_input_that_makes_no_sense_is_refused_in_words(
    tmp_path: Path, awk_path: str, blocks: str, told: str
) -> None:
    file = tmp_path / "f"
    file.write_text("a\n")
    code, _, err = run(file, blocks, awk_path)
    assert (code, file.read_text()) == (1, "a\n")
    assert told in err


def test_longer_markers_carry_text_that_looks_like_markers(tmp_path: Path, awk_path: str) -> None:
    file = tmp_path / "f"
    file.write_text("Title\n=======\n<<<<<<< SEARCH\n")
    code, _, err = run(file, block("Title\n=======\n<<<<<<< SEARCH\n", "Other\n=======\n", width=9), awk_path)
    assert (code, err, file.read_text()) == (0, "", "Other\n=======\n")


def test_a_last_line_without_newline_stays_one(tmp_path: Path, awk_path: str) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"a\nb")
    assert run(file, block("b\n", "c\nd\n"), awk_path)[0] == 0
    assert file.read_bytes() == b"a\nc\nd"


def test_windows_line_ends_are_kept(tmp_path: Path, awk_path: str) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"a\r\nb\r\nc\r\n")
    assert run(file, block("b\n", "x\ny\n"), awk_path)[0] == 0
    assert file.read_bytes() == b"a\r\nx\r\ny\r\nc\r\n"


def test_bytes_that_are_no_utf8_survive(tmp_path: Path, awk_path: str) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"\xff\xfe \\n & \\1\na\n")
    replacement = b"<<<<<<< SEARCH\na\n=======\n\xe9 \\t & %s $x `y`\n>>>>>>> REPLACE\n"
    assert run(file, replacement, awk_path)[0] == 0
    assert file.read_bytes() == b"\xff\xfe \\n & \\1\n\xe9 \\t & %s $x `y`\n"


def test_mode_and_link_stay(tmp_path: Path, awk_path: str) -> None:
    file = tmp_path / "f"
    file.write_text("a\n")
    file.chmod(0o750)
    link = tmp_path / "link"
    link.symlink_to("f")
    assert run(link, block("a\n", "b\n"), awk_path)[0] == 0
    assert (file.read_text(), link.is_symlink()) == ("b\n", True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o750


@pytest.mark.parametrize("name", ["-rf", "--help me", "a=b", "sp ace", "new\nline", "quo'te"])
def test_any_file_name_will_do(tmp_path: Path, awk_path: str, name: str) -> None:
    (tmp_path / name).write_text("a\n")
    assert run(name, block("a\n", "b\n"), awk_path, tmp_path)[0] == 0
    assert (tmp_path / name).read_text() == "b\n"


def test_it_creates_nothing(tmp_path: Path, awk_path: str) -> None:
    code, _, err = run(tmp_path / "new", block("a\n", "b\n"), awk_path)
    assert (code, (tmp_path / "new").exists()) == (1, False)
    assert "creates nothing" in err


def test_a_folder_and_a_binary_file_are_refused(tmp_path: Path, awk_path: str) -> None:
    assert "not a regular file" in run(tmp_path, block("a\n", "b\n"), awk_path)[2]
    (tmp_path / "b").write_bytes(b"a\n\0\n")
    assert "binary" in run(tmp_path / "b", block("a\n", "b\n"), awk_path)[2]


def test_it_leaves_no_temporary_files(tmp_path: Path, awk_path: str) -> None:
    (tmp_path / "f").write_text("a\n")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    subprocess.run(
        ["bash", str(EDIT), "f"],
        input=block("a\n", "b\n").encode(),
        cwd=tmp_path,
        env={"PATH": awk_path, "TMPDIR": str(scratch)},
        check=True,
        capture_output=True,
    )
    assert os.listdir(scratch) == []


LINES = st.lists(st.text(alphabet="ab \t.*\\/&", max_size=4), max_size=8)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=LINES, search=LINES.filter(bool), after=LINES, replacement=LINES)
def test_the_result_is_what_python_would_make_of_it(
    tmp_path: Path, before: list[str], search: list[str], after: list[str], replacement: list[str]
) -> None:
    lines = [*before, *search, *after]
    file = tmp_path / "f"
    file.write_text("".join(line + "\n" for line in lines))
    width = len(search)
    places = [at for at in range(len(lines) - width + 1) if lines[at : at + width] == search]
    given_text = block("".join(f"{line}\n" for line in search), "".join(f"{line}\n" for line in replacement))
    code, _, _ = run(file, given_text, os.environ["PATH"])
    if len(places) == 1 and replacement != search:
        expected = [*lines[: places[0]], *replacement, *lines[places[0] + width :]]
        assert (code, file.read_text()) == (0, "".join(line + "\n" for line in expected))
    else:
        assert (code, file.read_text()) == (1, "".join(line + "\n" for line in lines))
