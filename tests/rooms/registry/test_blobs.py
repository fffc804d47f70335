"""No code and no foreign file ever comes out of the registry's folder (CVE-2025-69872 and its kin).

Every test plants what an attacker with write access to the database could, and then reads, lists and deletes.
"""

from __future__ import annotations

import ast
import sqlite3
from contextlib import nullcontext
from pathlib import Path

import diskcache  # noqa: TID251 - the attacked library itself
import pytest
from tests.contracts.jobs import within

import spadework.registry
from spadework.registry.blobs import Blobs, BytesDisk
from spadework.registry.disk import DiskStore
from spadework.registry.place import Place
from spadework_tools.errors import RegistryCorrupt

#: Unpickled, this makes a file `touched` in the present folder: `os.mkdir("touched")` in the pickle language.
BOMB = b"cposix\nmkdir\n(S'touched'\ntR."
INSERT = "INSERT INTO Cache (key, raw, store_time, mode, filename, value) VALUES (?, ?, 1, ?, ?, ?)"


@pytest.fixture
def outside(home: Path) -> Path:
    """A file beside the registry's folder that a row may name as `../outside`."""
    home.mkdir()
    path = home / "outside"
    path.write_bytes(b"secret")
    return path


def plant(place: Place, key: object, raw: int, mode: int, filename: str | None, value: object) -> None:
    con = sqlite3.connect(place.database)
    con.execute(INSERT, (key, raw, mode, filename, value))
    con.commit()
    con.close()


def test_the_bomb_goes_off_where_pickles_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: diskcache as it comes executes the planted row, so the tests below can fail."""
    monkeypatch.chdir(tmp_path)
    diskcache.Cache(str(tmp_path / "cache")).close()
    plant(Place(tmp_path / "cache"), "k", 1, 4, None, BOMB)
    with diskcache.Cache(str(tmp_path / "cache")) as cache:
        cache.get("k")
    assert (tmp_path / "touched").exists()


ROWS = [
    pytest.param("k", 4, None, BOMB, id="pickle"),
    pytest.param("k", 4, "../outside", None, id="pickle file"),
    pytest.param("k", 3, "../outside", None, id="text file"),
    pytest.param("k", 2, "../outside", None, id="binary file"),
    pytest.param("k", 1, "../outside", b"x", id="raw with a file"),
    pytest.param("k", 1, None, "text", id="text"),
    pytest.param("k", 1, None, 7, id="number"),
    pytest.param("k", 9, None, b"x", id="unknown mode"),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("key", "mode", "filename", "value"), ROWS)
@within(10)
async def test_a_planted_row_is_refused(
    store: DiskStore, place: Place, home: Path, monkeypatch: pytest.MonkeyPatch,
    key: str, mode: int, filename: str | None, value: object,
) -> None:  # fmt: skip
    (home / "outside").write_bytes(b"secret")
    monkeypatch.chdir(home)
    plant(place, key, 1, mode, filename, value)
    with pytest.raises(RegistryCorrupt):
        await store.payload(key)
    assert not (home / "touched").exists()


def test_a_planted_key_is_refused_wherever_keys_are_listed(
    outside: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make()
    monkeypatch.chdir(outside.parent)
    blobs = Blobs(place.folder)
    plant(place, BOMB, 0, 1, None, b"x")
    with pytest.raises(RegistryCorrupt):
        list(blobs._cache)
    blobs.close()
    assert not (outside.parent / "touched").exists()


@pytest.mark.parametrize("mode", [2, 3, 4])
@pytest.mark.parametrize("way", ["delete", "set", "pop", "expire", "clear", "evict"])
def test_no_way_of_deleting_a_planted_row_deletes_the_file_it_names(
    outside: Path, place: Place, mode: int, way: str
) -> None:
    place.make()
    blobs = Blobs(place.folder)
    plant(place, "k", 1, mode, "../outside", None)
    blobs.con.execute("UPDATE Cache SET expire_time = 1 WHERE ? = 'expire'", (way,))
    blobs.con.execute("UPDATE Cache SET tag = 't'")
    cache = blobs._cache
    ways = {
        "delete": lambda: cache.delete("k"),
        "set": lambda: cache.set("k", b"new"),
        "pop": lambda: cache.pop("k"),
        "expire": lambda: cache.expire(),
        "clear": lambda: cache.clear(),
        "evict": lambda: cache.evict("t"),
    }
    # Only `pop` reads the row, and refuses it.
    with pytest.raises(RegistryCorrupt) if way == "pop" else nullcontext():
        ways[way]()
    blobs.close()
    assert outside.read_bytes() == b"secret"


def test_an_unremarkable_value_comes_back_from_another_connection(place: Place) -> None:
    place.make()
    blobs = Blobs(place.folder)
    blobs.keep("result/a", b"\x00" * 100_000)
    assert blobs._cache.get("result/a") == b"\x00" * 100_000
    blobs.close()
    assert [path.name for path in place.folder.iterdir() if path.is_dir()] == ["workers"]


@pytest.mark.parametrize("value", ["text", 1, None, ["x"], bytearray(b"x")])
def test_only_bytes_go_in(value: object) -> None:
    with pytest.raises(TypeError):
        BytesDisk("/nowhere").store(value, read=False)


@pytest.mark.parametrize("key", [b"k", 1, 1.0, None, ("k",)])
def test_only_text_is_a_key(key: object) -> None:
    with pytest.raises(TypeError):
        BytesDisk("/nowhere").put(key)


def test_nothing_in_the_room_can_unpickle() -> None:
    """No module imports pickle, one imports diskcache, and the disk calls no inherited method."""
    sources = list(Path(spadework.registry.__file__).parent.glob("*.py"))
    importers: dict[str, set[str]] = {}
    for source in sources:
        tree = ast.parse(source.read_text())
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                importers.setdefault(name.partition(".")[0], set()).add(source.name)
            assert not (isinstance(node, ast.Name) and node.id == "super"), source.name
    assert not {"pickle", "marshal", "shelve", "dill", "cloudpickle"} & importers.keys()
    assert importers["diskcache"] == {"blobs.py"}
    own = {name for name, value in vars(BytesDisk).items() if callable(value)}
    assert {"put", "get", "store", "fetch", "remove", "filename"} <= own
