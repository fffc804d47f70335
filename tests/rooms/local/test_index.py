"""The index of a corpus: what is stored, found, forgotten, shared between processes and built again when damaged."""

from __future__ import annotations

import random
import sqlite3
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from threading import Event

import pytest
from tests.rooms.local.desk import page, plain, put, wiki

from spadework.engines.local.database import SHAPE, location
from spadework.engines.local.document import Block, Document
from spadework.engines.local.index import Index, Stamp, resolve
from spadework.engines.local.intake import settle, survey, take
from spadework.engines.local.retrieve import rank
from spadework.engines.local.words import terms


def paths(index: Index, question: str) -> list[str]:
    """The documents found for a question, best first."""
    return list(dict.fromkeys(hit.passage.path for hit in rank(index, question)))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "index" / "corpus.db"


def test_the_index_is_readable_by_its_user_alone(place: Path) -> None:
    with Index(place) as index:
        put(index, plain("/a", "Tides", "The tide turns at noon."))
        files = list(place.parent.iterdir())
        assert len(files) == 3, "the database, its log and its shared memory"
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700


def test_the_same_folders_share_an_index_whatever_their_order_or_spelling(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (tmp_path / "way").symlink_to(one)
    same = {location(tmp_path, folders) for folders in ([one, two], [two, one], [tmp_path / "way", two / ".." / "two"])}
    assert len(same) == 1
    assert location(tmp_path, [one]) not in same


def test_every_passage_is_the_slice_of_its_document_that_it_says(place: Path) -> None:
    sections = [f"Paragraph {n} of the tide book speaks of moons and gauges. " * 9 for n in range(20)]
    with Index(place) as index:
        put(index, page("/book", "Tide book", *sections))
        found = index.passage(range(1, 100))
        assert len(found) > 3
        for passage in found.values():
            kept = index.document(passage.document)
            assert kept is not None
            assert kept.text[passage.start : passage.end] == passage.text
            assert passage.heading == "Tide book"


@pytest.mark.parametrize("length", [300, 1_600, 2_500, 3_900])
def test_a_short_text_without_headings_stays_one_passage(place: Path, length: int) -> None:
    with Index(place) as index:
        put(index, plain("/abstract", "On gauges", ("Gauges drift with weed and wear. " * 200)[:length]))
        assert index.passages() == 1


def test_a_changed_document_replaces_its_older_text_and_leaves_nothing_behind(place: Path) -> None:
    with Index(place) as index:
        put(
            index, page("/a", "Fog horn", "The old signal was a cannon."), page("/b", "Cannon", "Rust eats the cannon.")
        )
        put(index, page("/a", "Fog horn", "The new signal is a siren."))
        assert paths(index, "cannon") == ["/b"]
        assert paths(index, "siren") == ["/a"]
        assert index.titled({"fog horn"}) == {"fog horn": (3,)}


def test_a_file_that_is_gone_is_forgotten_with_its_titles_and_links(place: Path) -> None:
    with Index(place) as index:
        put(index, page("/a.md", "Moonpool", "See the other page.", links=(("other", "b.md"),)))
        put(index, page("/b.md", "Sunpool", "Warm water."))
        assert index.retain(["/b.md"]) == 1
        assert paths(index, "moonpool") == []
        assert index.titled({"moonpool", "sunpool"}).keys() == {"sunpool"}
    with sqlite3.connect(place) as db:
        assert db.execute("select count(*) from links").fetchone() == (0,)
        db.execute("insert into passages (passages) values ('integrity-check')")
    db.close()


def test_random_changes_leave_the_same_index_as_reading_the_last_state_at_once(tmp_path: Path) -> None:
    rng = random.Random(7)
    state: dict[str, Document] = {}
    with Index(tmp_path / "a" / "grown.db") as grown, Index(tmp_path / "b" / "fresh.db") as fresh:
        for _ in range(120):
            path = f"/{rng.randrange(12)}"
            if rng.random() < 0.25:
                state.pop(path, None)
                grown.retain(state)
            else:
                words = " ".join(rng.choices(["buoy", "灯台の光", "pier", "gauge", "Łódź"], k=30))
                state[path] = page(path, f"Entry {rng.randrange(5)}", words + ".")
                put(grown, state[path])
        put(fresh, *state.values())
        for word in ("buoy", "灯台", "Łódź", "entry"):
            assert sorted(paths(grown, word)) == sorted(paths(fresh, word))
        assert grown.size() == fresh.size()


@pytest.mark.parametrize(
    "harm", [b"this is no database, whatever its name says " * 200, b"", b"SQLite format 3\0" + b"\xff" * 5_000]
)
def test_a_damaged_index_is_built_again_without_a_word(place: Path, harm: bytes) -> None:
    with Index(place) as index:
        put(index, plain("/a", "Tides", "The tide turns at noon."))
    place.write_bytes(harm)
    with Index(place) as index:
        assert index.passages() == 0
        put(index, plain("/a", "Tides", "The tide turns at noon."))
        assert paths(index, "tide") == ["/a"]


def test_an_index_of_an_older_shape_is_built_again(place: Path) -> None:
    with Index(place) as index:
        put(index, plain("/a", "Tides", "The tide turns at noon."))
    with sqlite3.connect(place) as db:
        db.execute(f"pragma user_version = {SHAPE + 40}")
        db.execute("alter table chunks add column gone int")
    db.close()
    with Index(place) as index:
        assert index.passages() == 0
        put(index, plain("/a", "Tides", "The tide turns at noon."))
        assert paths(index, "tide") == ["/a"]


def test_two_processes_that_take_in_the_same_folder_at_once_end_with_one_whole_index(tmp_path: Path) -> None:
    folder, place = wiki(tmp_path / "wiki", 120), tmp_path / "index" / "corpus.db"
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from threading import Event
        from spadework.engines.local.intake import settle, survey, take
        folder, place = Path(sys.argv[1]), Path(sys.argv[2])
        known = survey([folder], Event())
        sys.stdin.readline()
        take(place, known.found, Event(), 60)
        print(settle(place, [folder], known, len(known.found)).files)
    """)
    command = [sys.executable, "-c", program, str(folder), str(place)]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said == ["120", "120"]
    with Index(place) as index:
        assert index.size().documents == 120
        assert paths(index, "How many berths has Qel077?")[0].endswith("harbour-077.md")
    with sqlite3.connect(place) as db:
        db.execute("insert into passages (passages) values ('integrity-check')")
    db.close()


def test_only_changed_files_are_read_again_and_a_mere_new_date_changes_nothing(tmp_path: Path) -> None:
    folder, place = wiki(tmp_path / "wiki", 12), tmp_path / "corpus.db"
    known = survey([folder], Event())
    assert take(place, known.found, Event(), 60) == (12, 12)
    assert take(place, known.found, Event(), 60) == (12, 0)
    (folder / "harbour-003.md").write_text("# Quay\n\nThe quay of Qel003 was sold to a bishop.\n", encoding="utf-8")
    (folder / "harbour-004.md").unlink()
    (folder / "harbour-005.md").touch()
    again = survey([folder], Event())
    assert take(place, again.found, Event(), 60) == (11, 2)
    assert settle(place, [folder], again, 2).files == 11
    with Index(place) as index:
        assert paths(index, "bishop") == [str(folder / "harbour-003.md")]
        assert not paths(index, "Qel004")
        assert paths(index, "Qel005 berths")


def test_words_of_scripts_without_spaces_are_found_and_quoted_places_stay_those_of_the_text(place: Path) -> None:
    text = "京都の図書館は午後九時に閉まります。貸出は二週間です。"
    with Index(place) as index:
        put(index, plain("/kyoto", "図書館", text), plain("/osaka", "水族館", "大阪の水族館は朝十時に開きます。"))
        assert paths(index, "図書館は何時に閉まる")[0] == "/kyoto"
        assert paths(index, "水族館") == ["/osaka"]
        assert index.passage([1])[1].text == text
    assert terms("서울시청") == ("서울", "울시", "시청")


@pytest.mark.parametrize(
    ("href", "target"),
    [
        ("b.md", ("/docs/b.md", "")),
        ("../c/d.html#part-2", ("/c/d.html", "part-2")),
        ("a%20b.md?x=1", ("/docs/a b.md", "")),
        ("https://example.org/b.md", None),
        ("//example.org/b.md", None),
        ("mailto:a@b.example", None),
        ("#here", None),
    ],
)
def test_a_link_is_resolved_inside_the_corpus_or_not_at_all(href: str, target: tuple[str, str] | None) -> None:
    assert resolve("/docs", href) == target


def test_a_file_that_gave_no_text_is_remembered_with_its_reason_until_it_changes(place: Path) -> None:
    with Index(place) as index:
        index.skip("/scan.pdf", Stamp(1, 10, "aa"), "no_text_layer")
        assert index.unread() == [("/scan.pdf", "no_text_layer")]
        index.add(Document("/scan.pdf", "Scan", "Now with text.", (Block(0, 14),)), Stamp(2, 11, "bb"))
        assert index.unread() == []
