"""The demo's page and record, from a run small enough for a test."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from brenier.errors import FileError, MissingPackageError
from brenier.report import demo_words
from brenier.report.demo_run import run_demo
from brenier.report.tables import demo_tables


class Reader(HTMLParser):
    """Collects what a browser would load, the text, and unclosed elements."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "poster", "data", "background") or (
                name.endswith("href") and tag != "a"
            ):
                self.loads.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "out"
    run_demo(folder, quick=True, progress=False)
    return folder


@pytest.fixture(scope="module")
def record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text()


def test_the_folder_holds_the_page_the_record_and_pictures_and_nothing_else(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["fit.png", "quality.png", "report.html", "run.json", "samples.png"]
    for name in ("fit.png", "quality.png", "samples.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_the_page_loads_nothing_from_anywhere(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    outside = [load for load in reader.loads if not load.startswith(("data:image/png;base64,", "#"))]
    assert outside == []
    assert "script" not in reader.tags
    assert not re.search(r"url\((?!#)|@import", page)
    assert reader.tags.count("svg") == 5
    assert reader.tags.count("img") >= 6


def test_the_page_carries_every_table_and_every_sentence(page: str, record: dict) -> None:
    reader = Reader()
    reader.feed(page)
    text = " ".join("".join(reader.text).split())
    for table in demo_tables(record).values():
        for row in table.rows:
            assert len(row) == len(table.headings)
            assert " ".join(" ".join(row).split()) in text.replace("> <", " ") or all(
                cell in text for cell in row
            )
    for paragraphs in demo_words.all_words(record).values():
        assert paragraphs
        for paragraph in paragraphs:
            assert " ".join(paragraph.split()) in text


def test_every_method_network_and_number_of_evaluations_has_a_row(record: dict) -> None:
    found = {(row["method"], row["last_steps"], row["network"], row["evaluations"]) for row in record["rows"]}
    for network in ("independent", "aot"):
        assert {("heun", None, network, count) for count in (5, 9, 17)} < found
        assert {("dpm_ot", steps, network, count) for steps in (5, 10) for count in (5, 9, 17)} < found
        assert ("dpm_ot", 10, network, 19) in found  # its own M steps
    assert len(found) == len(record["rows"])


def test_the_quality_table_shows_the_records_numbers(record: dict) -> None:
    table = demo_tables(record)["quality"]
    assert len(table.rows) == 1 + len(record["rows"])
    column = table.headings.index("Fréchet, pixels")
    assert [row[column] for row in table.rows[1:]] == [
        f"{row['frechet_pixels']:.2f}" for row in record["rows"]
    ]


def test_the_record_says_where_and_how_it_was_made(record: dict) -> None:
    assert record["kind"] == "demo"
    assert record["settings"]["quick"] is True
    assert record["versions"].keys() >= {"brenier", "python", "torch", "numpy"}
    assert record["machine"].keys() >= {"processor", "cores", "memory"}
    assert len(record["seconds"]) == 5
    assert [fit["n"] for fit in record["fits"].values()] == [record["data"]["train"]] * 2


def test_dpm_ot_at_small_m_is_reported_as_memorising(record: dict) -> None:
    told = {"method": "dpm_ot", "evaluations": 17, "network": "independent"}
    rows = {r["last_steps"]: r for r in record["rows"] if told.items() <= r.items()}
    assert rows[5]["nearest_ratio"] < rows[10]["nearest_ratio"]
    assert rows[5]["share_closer"] > 0.5
    words = " ".join(demo_words.memorising(record))
    assert f"{rows[5]['nearest_ratio']:.2f} times" in words


def test_words_follow_the_numbers(record: dict) -> None:
    low, high = record["rows"][0] | {"nearest_ratio": 0.1}, record["rows"][0] | {"nearest_ratio": 1.0}
    assert "stored images, little changed" in demo_words.verdict(low | {"share_closer": 1.0})
    assert "no more copying" in demo_words.verdict(high | {"share_closer": 0.05})
    changed = json.loads(json.dumps(record))
    changed["training"]["aot"]["curvature"] = 2 * changed["training"]["independent"]["curvature"]
    assert "100% more" in demo_words.paths(changed)[0]


def test_an_unwritable_folder_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brenier.report.demo_stages.prepare_data", lambda _: pytest.fail("work began"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError):
        run_demo(tmp_path / "file")


def test_a_missing_package_is_named_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(MissingPackageError, match=r"brenier\[report\]"):
        run_demo(tmp_path / "out")
    assert not (tmp_path / "out").exists()
