"""The folder of a run: what is kept in it, how it is found again, and when it is left alone."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from tests.unit.measure.simulated import GEMM, keyed, plan, slower, source

from crossgrade.api import bench_book
from crossgrade.api.bench_book import JOURNAL, Book
from crossgrade.api.benching import BenchOptions
from crossgrade.errors import BadOption, BadRecord, FolderInUse
from crossgrade.measure.harness import run
from crossgrade.records.codec import load

PLANS = keyed(plan(), plan(slower(0.5)))
OPTIONS = BenchOptions(suite=Path("/home/somebody/suites/mine.json"), folder=Path("/somewhere"))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSGRADE_HOME", str(tmp_path))
    return tmp_path / "records"


@pytest.fixture
def days(monkeypatch):
    """Let every look at the clock be a day later than the last."""
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    found = iter(now + datetime.timedelta(days=n) for n in range(1000))
    monkeypatch.setattr(bench_book, "_now", lambda: next(found))


def opened(folder, plans=PLANS):
    return Book.of(folder, plans, {"cpu": "made up"})


def measure(book, plans=PLANS, most=None, options=OPTIONS):
    """Run within a book until `most` results are there; return the paths of their records."""
    paths = []
    for key, result in run(plans, source(), store=book):
        paths.append(book.write(key, result, options))
        if len(paths) == most:
            return paths
    book.finish()
    return paths


def whole(folder, plans=PLANS, most=None):
    with opened(folder, plans) as book:
        book.open(plans)
        return book, measure(book, plans, most)


def test_records_and_journal_lie_in_the_folder_that_was_named(tmp_path):
    book, paths = whole(tmp_path / "run")
    assert book.taken_up == 0
    assert [Path(p).parent for p in paths] == [tmp_path / "run"] * 2
    record = load(Path(paths[0]))
    assert record.kind == "bench"
    assert record.environment["cpu"] == "made up"
    assert record.environment["null device"] == "simulated"


def test_a_record_tells_no_path_of_the_machine(tmp_path):
    _, paths = whole(tmp_path / "run")
    record = load(Path(paths[0]))
    assert record.passed["suite"] == "mine.json"
    assert "folder" not in record.passed
    text = Path(paths[0]).read_text()
    assert "/home/somebody" not in text
    assert str(tmp_path) not in text


def test_a_finished_run_is_given_from_what_is_kept(tmp_path):
    _, first = whole(tmp_path)
    kept = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    book, second = whole(tmp_path)
    assert set(second) == set(first)
    assert book.taken_up == sum(b'"Sampled"' in line for line in kept[JOURNAL].splitlines())
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == kept


def test_a_record_that_was_removed_is_written_again(tmp_path):
    _, paths = whole(tmp_path)
    Path(paths[1]).unlink()
    _, again = whole(tmp_path)
    assert load(Path(paths[1])).digest
    assert set(again) == set(paths)


def test_an_unfinished_run_is_found_by_its_plans(home, days):
    first, _ = whole(None, most=1)
    second, _ = whole(None)
    assert second.folder == first.folder
    assert second.taken_up > 0
    third, _ = whole(None)
    assert third.folder != first.folder
    assert third.taken_up == 0
    assert {f.parent for f in (first.folder, third.folder)} == {home}


def test_another_plan_does_not_take_it_up(home, days):
    first, _ = whole(None, most=1)
    other, _ = whole(None, keyed(plan(), plan(slower(0.25))))
    assert other.folder != first.folder


def test_a_run_that_goes_on_beside_this_one_is_not_taken_up(home, days):
    with opened(None) as first:
        first.open(PLANS)
        measure(first, most=1)
        kept = (first.folder / JOURNAL).read_bytes()
        with (first.folder / JOURNAL).open("ab") as file:
            file.write(b'{"half a li')  # as the other process sees it
        second, _ = whole(None)
        assert second.folder != first.folder
        assert (first.folder / JOURNAL).read_bytes() == kept + b'{"half a li'


def test_a_journal_that_cannot_be_read_is_passed_over(home, days):
    first, _ = whole(None, most=1)
    journal = first.folder / JOURNAL
    journal.write_bytes(journal.read_bytes().replace(b'"event"', b'"evant"', 1))
    second, _ = whole(None)
    assert second.folder != first.folder
    with pytest.raises(BadRecord, match="line"):
        whole(first.folder)


def test_a_folder_of_other_plans_is_refused_and_stays(tmp_path):
    whole(tmp_path / "run")
    kept = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    with pytest.raises(BadOption, match="other cases or options"):
        whole(tmp_path / "run", keyed(plan(GEMM, slower(0.1))))
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == kept


def test_one_run_at_a_time(tmp_path):
    with opened(tmp_path / "run"), pytest.raises(FolderInUse):
        opened(tmp_path / "run").__enter__()


def test_a_run_that_kept_nothing_leaves_no_folder(tmp_path):
    with opened(tmp_path / "run") as book:
        book.open(PLANS)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_user_is_not_removed(tmp_path):
    (tmp_path / "run").mkdir()
    with opened(tmp_path / "run") as book:
        book.open(PLANS)
    assert list((tmp_path / "run").iterdir()) == []


def test_names_of_files_have_no_odd_characters(tmp_path):
    plans = [p.__class__(key="aten.mm/../x y", plan=p.plan) for p in PLANS[:1]]
    _, (path,) = whole(tmp_path, plans)
    assert Path(path).name == "aten.mm_.._x_y.json"
    entry = json.loads((tmp_path / JOURNAL).read_text().splitlines()[-2])["entry"]
    assert entry == {"key": "aten.mm/../x y", "record": Path(path).name}


def test_a_run_that_was_begun_in_another_environment_is_not_taken_up(home, days):
    whole(None, most=1)
    with Book.of(None, PLANS, {"cpu": "another"}) as book:
        book.open(PLANS)
        assert book.taken_up == 0
        assert list(book.events()) == []


def test_two_environments_are_not_mixed_in_a_folder_that_was_named(tmp_path):
    whole(tmp_path, most=1)
    kept = (tmp_path / JOURNAL).read_bytes()
    with (
        Book.of(tmp_path, PLANS, {"cpu": "made up", "$OMP_NUM_THREADS": "1"}) as book,
        pytest.raises(BadOption, match=r"another environment \(\$OMP_NUM_THREADS: None -> 1\)"),
    ):
        book.open(PLANS)
    assert (tmp_path / JOURNAL).read_bytes() == kept


def test_what_takes_long_to_make_goes_when_a_run_ends_in_order(tmp_path):
    with opened(tmp_path / "run") as book:
        book.open(PLANS)
        graph = Path(book.scratch) / "graph"
        graph.parent.mkdir()
        graph.write_text("large")
        assert graph.is_relative_to(tmp_path / "run")
    assert not graph.exists()


def test_what_a_killed_run_has_left_of_it_is_used_and_goes_with_the_next(tmp_path):
    left = tmp_path / "run" / "scratch" / "graph"
    left.parent.mkdir(parents=True)
    left.write_text("large")
    with opened(tmp_path / "run") as book:
        book.open(PLANS)
        assert (Path(book.scratch) / "graph").read_text() == "large"
    assert not left.exists()
