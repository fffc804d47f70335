"""Only what lies in the allowed folders is read, whatever the tree, the caller or a racing process does."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from spadework.engines.local.document import Unreadable
from spadework.engines.local.folders import Found, Limits, Roots, Skipped, read, walk
from spadework_tools.errors import BadFolder

SECRET = b"SECRET-OUTSIDE"


@pytest.fixture
def root(tmp_path):
    """An allowed folder `work`, with a secret beside it."""
    inside = tmp_path / "work"
    (inside / "docs").mkdir(parents=True)
    (inside / "docs" / "a.md").write_text("# A")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.md").write_bytes(SECRET)
    return inside


def found(folder, limits=None):
    return [item for item in walk(folder, limits or Limits()) if isinstance(item, Found)]


def skipped(folder, limits=None):
    return {item.path: item.reason for item in walk(folder, limits or Limits()) if isinstance(item, Skipped)}


def refused(roots, folder, base):
    with pytest.raises(BadFolder) as caught:
        roots.resolve(folder, base)
    assert caught.value.code == "bad_folder"
    assert caught.value.message.count(". ") >= 1, "what happened, and what to do next"
    return caught.value.message


@pytest.mark.parametrize("folder", ["docs", "./docs", "docs/", "docs/../docs", "docs//."])
def test_a_folder_inside_resolves_relative_to_the_base(root, folder):
    assert Roots((root,)).resolve(folder, root) == root / "docs"


def test_a_root_itself_and_an_absolute_folder_resolve(root):
    assert Roots((root,)).resolve(".", root) == root
    assert Roots((root,)).resolve(str(root / "docs"), Path("/")) == root / "docs"


@pytest.mark.parametrize(
    "folder",
    [
        "..",
        "../outside",
        "docs/../../outside",
        "/",
        "/etc",
        "/proc/self",
        "/proc/self/root/etc",
        "../nowhere",
        "../work2",
    ],
)
def test_a_folder_outside_is_refused_without_saying_whether_it_exists(root, folder):
    (root.parent / "work2").mkdir()
    message = refused(Roots((root,)), folder, root)
    assert "outside the folders that may be read" in message
    assert str(root) in message


@pytest.mark.parametrize("folder", ["", "  ", "docs\0", "~", "~root/x", "file:///etc", "file:/etc", "https://x.org/a"])
def test_what_is_no_plain_path_is_refused(root, folder):
    refused(Roots((root,)), folder, root)


def test_a_link_that_leads_out_is_refused_and_one_that_stays_in_resolves_to_its_target(root):
    (root / "out").symlink_to(root.parent / "outside")
    (root / "in").symlink_to(root / "docs")
    assert "outside" in refused(Roots((root,)), "out", root)
    assert Roots((root,)).resolve("in", root) == root / "docs"


def test_missing_folders_files_and_hidden_folders_are_named_as_such(root):
    (root / ".git").mkdir()
    assert "there is no folder" in refused(Roots((root,)), "docz", root)
    assert "is a file" in refused(Roots((root,)), "docs/a.md", root)
    assert "hidden folder" in refused(Roots((root,)), ".git", root)
    assert "cannot be" in refused(Roots((root,)), "x" * 5000, root)
    assert "\ud800" not in refused(Roots((root,)), "\ud800", root)


def test_without_any_root_the_setting_to_set_is_named(root):
    assert "SPADEWORK_ROOTS" in refused(Roots(()), "docs", root)


def test_a_hidden_root_that_was_allowed_itself_is_read(root):
    hidden = root / ".notes"
    (hidden / "deep").mkdir(parents=True)
    assert Roots((hidden,)).resolve("deep", hidden) == hidden / "deep"


def test_a_root_given_as_a_link_allows_what_it_points_to(root, tmp_path):
    (tmp_path / "alias").symlink_to(root)
    assert Roots((tmp_path / "alias",)).resolve("docs", tmp_path / "alias") == root / "docs"


def test_the_kernels_own_files_are_refused_even_under_an_allowed_slash():
    if not Path("/proc/self").exists():
        pytest.skip("no procfs here")
    assert "kernel" in refused(Roots((Path("/"),)), "/proc/sys", Path("/"))
    assert list(walk(Path("/proc"))) == [Skipped(".", "special")]
    with pytest.raises(Unreadable) as caught:
        read(Found(Path("/proc/version"), "version", 0, 0))
    assert caught.value.reason == "not_regular"


def test_every_kind_of_thing_is_found_or_skipped_with_its_reason(root):
    docs = root / "docs"
    (docs / ".env").write_text("KEY=1")
    (docs / "pic.png").write_bytes(b"\x89PNG")
    (docs / "what.zzz").write_text("?")
    (docs / "app.min.js").write_text("x")
    (docs / "big.txt").write_bytes(b"x" * 101)
    (docs / "README").write_text("read me")
    (docs / "node_modules" / "x").mkdir(parents=True)
    (docs / "node_modules" / "x" / "index.js").write_text("x")
    (docs / "sub").mkdir()
    (docs / "sub" / "b.py").write_text("b = 1")
    (docs / "out.md").symlink_to(root.parent / "outside" / "secret.md")
    (docs / "outdir").symlink_to(root.parent / "outside")
    (docs / "same.md").symlink_to(docs / "a.md")
    (docs / "loop").symlink_to(docs)
    (docs / "lost.md").symlink_to(docs / "none.md")
    os.mkfifo(docs / "pipe.md")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(docs / "s.md"))
        reasons = skipped(docs, Limits(file_bytes=100))
    assert [item.name for item in found(docs, Limits(file_bytes=100))] == ["README", "a.md", "sub/b.py"]
    assert reasons == {
        ".env": "dotfile",
        "app.min.js": "generated",
        "big.txt": "too_large",
        "loop": "symlink",
        "lost.md": "symlink_broken",
        "node_modules": "junk_folder",
        "out.md": "symlink_out",
        "outdir": "symlink_out",
        "pic.png": "binary",
        "pipe.md": "not_regular",
        "s.md": "not_regular",
        "same.md": "symlink",
        "what.zzz": "unknown_type",
    }


def test_a_walk_gives_the_same_order_whatever_order_the_disk_has(root):
    for name in ("z", "a", "m"):
        (root / name).mkdir()
        for file in ("2.txt", "10.txt", "1.txt"):
            (root / name / file).write_text(name)
    names = [item.name for item in found(root)]
    assert names == [item.name for item in found(root)]
    assert names[:4] == ["a/1.txt", "a/10.txt", "a/2.txt", "docs/a.md"]


def test_the_cap_on_files_cuts_the_depths_and_says_so(root):
    for number in range(5):
        (root / f"{number}.txt").write_text("x")
    items = list(walk(root, Limits(files=4)))
    assert [item.name for item in items if isinstance(item, Found)] == ["0.txt", "1.txt", "2.txt", "3.txt"]
    assert items[-1] == Skipped("4.txt", "too_many")


def test_a_folder_nested_too_deep_is_one_skip(root):
    deep = root.joinpath(*["d"] * 5)
    deep.mkdir(parents=True)
    (deep / "x.md").write_text("x")
    assert skipped(root, Limits(depth=3)) == {"d/d/d/d": "too_deep"}


def test_names_that_are_no_utf8_are_read_and_shown_with_a_replacement(root):
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.txt")).write_bytes(b"x")
    item = found(root)[0]
    assert item.name == "caf\ufffd.txt"
    assert read(item) == b"x"


def test_a_file_is_read_whole_and_a_grown_one_is_refused(root):
    item = found(root / "docs")[0]
    assert read(item) == b"# A"
    (root / "docs" / "a.md").write_bytes(b"x" * 50)
    assert read(item) == b"x" * 50
    with pytest.raises(Unreadable) as caught:
        read(item, Limits(file_bytes=49))
    assert caught.value.reason == "too_large"


def test_what_changed_since_the_walk_is_refused_by_its_reason(root):
    item = found(root / "docs")[0]
    file = root / "docs" / "a.md"
    file.unlink()
    assert _reason(item) == "gone"
    file.symlink_to(root.parent / "outside" / "secret.md")
    assert _reason(item) == "moved"
    file.unlink()
    os.mkfifo(file)
    assert _reason(item) == "not_regular", "and it did not wait for a writer"
    file.unlink()
    (root / "docs").rmdir()
    (root / "docs").symlink_to(root.parent / "outside")
    assert _reason(Found(root / "docs" / "secret.md", "secret.md", 1, 0)) == "moved"


def _reason(item):
    with pytest.raises(Unreadable) as caught:
        read(item)
    return caught.value.reason


@pytest.mark.parametrize("part", ["docs", "docs/a.md"])
def test_a_thousand_swaps_under_a_reader_never_let_it_read_outside(root, part):
    """S8: another process swaps a folder or file for a link that leads out, a thousand times."""
    item = found(root / "docs")[0]
    (root.parent / "outside" / "a.md").write_bytes(SECRET)
    spot, spare = root / part, root / "spare"
    leads = root.parent / "outside" if part == "docs" else root.parent / "outside" / "secret.md"
    swapper = subprocess.Popen([sys.executable, "-c", _SWAP, str(spot), str(spare), str(leads), "1000"])
    outcomes: dict[str, int] = {}
    try:
        while swapper.poll() is None:
            try:
                outcome = read(item).decode()
            except Unreadable as error:
                outcome = error.reason
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            for one in walk(root):
                if isinstance(one, Found):
                    assert "secret" not in one.name
    finally:
        swapper.kill()
        swapper.wait(10)
    assert swapper.returncode == 0
    assert set(outcomes) <= {"# A", "gone", "moved"}
    assert outcomes["# A"] > 0
    assert outcomes.get("moved", 0) > 0, "the race was met, not missed"


_SWAP = """
import os, sys
spot, spare, leads, times = *sys.argv[1:4], int(sys.argv[4])
for _ in range(times):
    os.rename(spot, spare)
    os.symlink(leads, spot)
    for _ in range(100): os.lstat(spot)
    os.unlink(spot)
    os.rename(spare, spot)
    for _ in range(100): os.lstat(spot)
"""


def test_ten_thousand_files_are_walked_and_read_in_seconds(tmp_path):
    for folder in range(100):
        (tmp_path / f"d{folder}").mkdir()
        for number in range(100):
            (tmp_path / f"d{folder}" / f"{number}.md").write_bytes(b"# x")
    done = threading.Event()
    spent: list[float] = []

    def work():
        before = os.times()
        items = found(tmp_path)
        assert len(items) == 10_000
        assert all(read(item) == b"# x" for item in items)
        after = os.times()
        spent.append(after.user + after.system - before.user - before.system)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert done.wait(30)
    thread.join()
    assert spent[0] < 5, "CPU seconds"


def test_no_file_handle_is_left_open(root):
    before = handles()
    for _ in range(50):
        for item in found(root):
            read(item)
        next(iter(walk(root)))
    assert handles() == before


def handles():
    return psutil.Process().num_fds()


@contextmanager
def nobody():
    """Be an ordinary user for a while: root may read everything, which would prove nothing."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_what_this_user_may_not_read_is_skipped_or_refused_as_such():
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        root.chmod(0o755)
        (root / "open.md").write_text("x")
        (root / "shut.md").write_text("x")
        (root / "shut").mkdir()
        (root / "shut.md").chmod(0)
        (root / "shut").chmod(0)
        with nobody():
            assert skipped(root) == {"shut.md": "unreadable", "shut": "unreadable"}
            assert [item.name for item in found(root)] == ["open.md"]
            assert _reason(Found(root / "shut.md", "shut.md", 1, 0)) == "denied"
            assert "may not be read" in refused(Roots((root,)), "shut", root)
        (root / "shut").chmod(0o700)
