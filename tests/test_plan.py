"""``copytrace plan``: its formulas by hand-calculated values, that each shown formula gives its number, and what is refused."""

import json
import math
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.planned import compared, off
from copytrace.engine.bench import Throughput
from copytrace.engine.cli import plan as verb
from copytrace.engine.errors import PlanError
from copytrace.engine.plan import Effort, Figure, Fleet, Rates, Task, count, make_plan, read_rates, save_rates
from copytrace.engine.plan.clock import Clock
from copytrace.engine.plan.figure import bytes_text, count_text, seconds_text
from copytrace.engine.plan.measured_search import FEW_QUERIES, QUERIES, solved
from copytrace.engine.plan.measuring import shown_busy
from copytrace.engine.plan.rates import Seconds, Sizes

import in_process
from conftest import PHOTOS

RATES = Rates(
    measured="2026-01-01T00:00:00+00:00",
    machine={"processor": "a processor", "memory_gib": 16.0},
    device="cpu",
    computed_by="onnxruntime on the CPU",
    threads=2,
    dimension=256,
    image_source="photos",
    image_count=512,
    image_bytes=50_000.0,
    image_pixels=200_000.0,
    seconds=Seconds(
        start=2.0,
        reference=0.003,
        query=0.0032,
        merge_row=1e-5,
        scan_row=2e-6,
        scan_pair=1e-9,
        found_pair=4e-6,
        nearest_pair=1e-8,
        one_query_row=2e-8,
        collect=0.005,
        verify=0.025,
    ),
    sizes=Sizes(descriptor_row=1064.0, pair_row=40.0, collection_reference=36_000.0, features=160.0, views=5.0),
)
MILLION = Task(1_000_000, 50_000)
SIZES = (1, 1_000_000, 100_000_000, 10_000_000_000)


def values(task: Task, group: str, fleet: Fleet | None = None, rates: Rates = RATES) -> dict[str, float]:
    return {one.name: one.value for one in make_plan(task, rates, fleet).groups[group]}


def chosen(task: Task, fleet: Fleet | None = None) -> dict[str, str]:
    return {one.question: one.choice for one in make_plan(task, RATES, fleet).choices}


def test_work_by_hand() -> None:
    assert values(MILLION, "descriptors alone") == pytest.approx(
        {
            "embed the references": 3000,
            "embed the queries": 160,
            "merge the parts": 10,
            "search, exact": 1e6 * 2e-6 + 1e6 * 5e4 * 1e-9 + 5e5 * 4e-6,  # 2 + 50 + 2
            "start the commands": 10,  # two shards of half an hour, queries, merge, search
            "together": 3234,
        }
    )
    assert values(MILLION, "with the second look") == pytest.approx(
        {
            "fill the collection": 5000,
            "look twice at the queries": 1250,
            "search for their views, exact": 2500,  # 50,000 x 5 x 1e6 x 10 ns
            "together": 8750,
        }
    )


def test_space_by_hand() -> None:
    assert values(MILLION, "on disk") == pytest.approx(
        {
            "images of the references": 5e10,
            "descriptors of the references": 1.064e9,
            "the same in parts, until they are merged": 1.064e9,
            "descriptors of the queries": 5.32e7,
            "pairs": 2e7,
            "collection with local features": 3.6e10,
            "read by each machine in the search": 1.024e9 / 54,
        }
    )
    memory = values(MILLION, "in memory")
    assert memory["references in the service's memory"] == pytest.approx(1.57 * 1.024e9)
    assert memory["local features (match --mode full)"] == pytest.approx(160e6 * 40 * 1.125)
    assert memory["Milvus HNSW, in memory"] == pytest.approx(1e6 * (1024 + 240))
    assert memory["Milvus IVF_SQ8, in memory"] == pytest.approx(264e6)
    assert memory["Milvus DISKANN, in memory"] == pytest.approx(256e6)
    assert values(replace(MILLION, image_bytes=7.0), "on disk")["images of the references"] == 7e6


def test_machines_and_hours_by_hand() -> None:
    fleet = Fleet(machines=4, hours=0.5)
    alone, looked_at = (values(MILLION, name, fleet) for name in ("descriptors alone", "with the second look"))
    assert alone["machines for 0.5 hours"] == 2 and looked_at["machines for 0.5 hours"] == 5
    assert alone["on 4 machines"] == pytest.approx(3234 / 4)
    assert "on 1 machines" not in values(MILLION, "descriptors alone")
    card = replace(RATES, device="cuda")
    assert values(MILLION, "descriptors alone", Fleet(gpus=2), card)["on 2 machines with a card"] == 1617


def test_choices_by_their_rules() -> None:
    small, large = chosen(MILLION), chosen(Task(10**10, 10**7))
    assert small["all queries at once"] == "exact search"  # 54 s beside 3160 s of embedding
    assert large["all queries at once"].startswith("an index")  # 1e8 s beside 3e7 s
    assert chosen(Task(10**10, 10**6))["all queries at once"] == "exact search"  # 1e7 s
    service = "one query at a time, as a service"
    assert small[service] == "exact search, all rows in memory, on 1 machine"  # 1.6 GB and 20 ms
    # 16 TB in 13.7 GB each; 200 s for a tenth of a second
    assert chosen(Task(10**10, 1), Fleet(machines=2000))[service].endswith("on 2,000 machines")
    # one machine too few: the first index that fits, 12.6 TB of it
    assert "Milvus HNSW, by memory on 920 machines" in chosen(Task(10**10, 1), Fleet(machines=1999))[service]
    assert "Milvus DISKANN, by memory on 187 machines" in large[service]
    assert small["second look"] == "match --mode full" and "verify" in large["second look"]  # 7.2 GB, 72 TB
    assert small["how to cut the references"] == "one source in 2 shards"
    assert large["how to cut the references"].startswith("559 sources of at most 17,895,697 images, 16,667 shards")
    assert small["one file of descriptors, or many"] == "merge the parts into one"
    assert large["one file of descriptors, or many"].endswith("2,097,152 queries at a time")


@pytest.mark.parametrize("references", SIZES)
@pytest.mark.parametrize("queries", SIZES)
def test_every_formula_gives_its_number(references: int, queries: int) -> None:
    plan = make_plan(Task(references, queries), RATES, Fleet(machines=3, hours=7))
    for figures in plan.groups.values():
        for one in figures:
            assert math.isfinite(one.value) and one.value > 0
            if one.formula != "the sum":
                assert computed(one) == pytest.approx(one.value, rel=0.01), one
    assert "nan" not in plan.text() and "inf" not in plan.text().replace("information", "")
    json.dumps(plan.record(), allow_nan=False)


UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600}
UNITS |= {name: 1000.0**i for i, name in enumerate(("B", "kB", "MB", "GB", "TB", "PB", "EB"))}


def computed(figure: Figure) -> float:
    """The value of the formula as it is shown: numbers with their units, operators, and words that say what is counted."""
    terms: list[str] = []
    for word in re.findall(r"[()+/]|[^\s()+/,][^\s()+/]*", figure.formula.replace(", rounded up", "")):
        if re.fullmatch(r"\d[\d,]*(\.\d+)?(e\d+)?", word):
            terms.append(word.replace(",", ""))
        elif word in UNITS and terms[-1] not in "()+/*":
            terms[-1] = repr(float(terms[-1]) * UNITS[word])
        elif word in "()+/" or word == "x":
            terms.append({"x": "*"}.get(word, word))
    value = float(eval(" ".join(terms), {"__builtins__": {}}))
    return math.ceil(value) if "rounded up" in figure.formula else value


def test_numbers_as_people_write_them() -> None:
    assert [count(text) for text in ("1", "1e9", " 2.5e8 ", "1000000", "1_000", "1E12")] == [
        *(1, 10**9, 250_000_000, 1_000_000, 1000, 10**12)
    ]
    nonsense = ["0", "-1", "1.5", "nan", "inf", "-inf", "sNaN", "1e30", "1e999999999", "abc", "1e-3", "0x10"]
    for text in (*nonsense, "", "1 2"):
        with pytest.raises(PlanError, match=r"^a (whole )?number .*wanted, not"):
            count(text)
    assert [count_text(value) for value in (1, 1500, 99_999, 1e9, 2.5e8, 1_234_567)] == [
        *("1", "1,500", "99,999", "1e9", "2.5e8", "1,234,567")
    ]
    assert [seconds_text(value) for value in (7.6e-10, 0.00282, 3.4, 119, 121, 8000, 1e7)] == [
        *("0.76 ns", "2.82 ms", "3.4 s", "119 s", "2.02 min", "2.22 h", "2,778 h")
    ]
    assert [bytes_text(value) for value in (5, 1064, 1.064e12, 3.6e17, 1e19)] == [
        *("5 B", "1.06 kB", "1.06 TB", "360 PB", "10 EB")
    ]


def test_numbers_that_cannot_be() -> None:
    for wrong in ({"references": 0}, {"queries": -1}, {"pairs": 10**13}, {"references": 1.5}, {"queries": True}):
        with pytest.raises(PlanError, match="whole number from 1"):
            Task(**{"references": 1, "queries": 1, **wrong})
    for wrong in (math.nan, 0.0, -1.0, math.inf):
        with pytest.raises(PlanError, match="bytes of an image"):
            Task(1, 1, image_bytes=wrong)
        with pytest.raises(PlanError, match="hours above 0"):
            Fleet(hours=wrong)
    with pytest.raises(PlanError, match="machines or gpus"):
        Fleet(machines=1, gpus=1)


def test_a_cards_rates_are_never_guessed() -> None:
    with pytest.raises(PlanError, match="cannot be derived"):
        make_plan(MILLION, RATES, Fleet(gpus=1))


def test_a_busy_machine_is_told() -> None:
    assert "busy machine (embedding took 2" in make_plan(MILLION, replace(RATES, busy="embedding took 2")).text()


def test_the_work_of_processors_is_measured_where_something_else_runs() -> None:
    """Sleeping takes none of it, and a task of two threads counts half of it."""
    assert Clock(1).median(1, lambda: time.sleep(0.05)) >= 0.05
    assert Clock(1, by_processor=True).median(3, lambda: time.sleep(0.05)) < 0.05

    def work() -> None:
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass

    # The two clocks tick apart, by microseconds.
    assert 0.09 <= Clock(2, by_processor=True).median(1, work) < 0.19 <= Clock(2).median(1, work)
    child = [sys.executable, "-c", "import time\nwhile time.process_time() < 0.2: pass"]
    assert Clock(1, by_processor=True).median(1, lambda: subprocess.run(child, check=True)) >= 0.19


def test_a_busy_machine_shows_by_its_processors() -> None:
    def embedding(processor_seconds: float) -> Throughput:
        return Throughput({"whole": [100.0]}, 10, False, [], [processor_seconds])

    assert shown_busy(embedding(0.019), threads=2) == ""  # 10 ms on the wall, of 9.5
    assert shown_busy(embedding(0.005), threads=2) == "embedding took 4.00 times its processor time"


def test_searches_by_hand() -> None:
    row, pair, rows = 2e-6, 1e-9, 65_536
    few, many = (rows * (row + queries * pair) for queries in (FEW_QUERIES, QUERIES))
    assert solved(few, many, rows) == pytest.approx((row, pair))
    for disturbed in ((many, few), (few, few), (1e-9, many)):
        with pytest.raises(PlanError, match="measure again"):
            solved(*disturbed, rows)


def test_rates_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    save_rates(RATES, path)
    assert read_rates(path) == RATES
    save_rates(replace(RATES, busy="it was"), path)  # over rates
    assert read_rates(path).busy == "it was"


def changed(table: dict[str, Any], *place: str, value: object = None) -> None:
    for name in place[:-1]:
        table = table[name]
    if value is None:
        del table[place[-1]]
    else:
        table[place[-1]] = value


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("seconds", "query"), None),
        (("seconds", "query"), 0),
        (("seconds", "query"), -1.0),
        (("seconds", "query"), "1"),
        (("seconds", "query"), True),
        (("seconds", "query"), 1e30),
        (("seconds", "more"), 1.0),
        (("seconds",), [1.0]),
        (("bytes", "views"), None),
        (("machine", "memory_gib"), None),
        (("machine", "memory_gib"), 0),
        (("machine",), "a machine"),
        (("images", "source"), None),
        (("images", "pixels"), "many"),
        (("device",), "tpu"),
        (("dimension",), 0),
        (("threads",), 1.5),
        (("busy",), 3),
        (("format",), 2),
        (("format",), None),
        (("more",), 1),
    ],
)
def test_rates_that_are_none_are_refused(tmp_path: Path, place: tuple[str, ...], value: object) -> None:
    table = RATES.record()
    changed(table, *place, value=value)
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(table))
    with pytest.raises(PlanError, match=r"not a file of rates"):
        read_rates(path)
    ended = in_process.run("plan", "--references", 1, "--queries", 1, "--rates", path, "--json", code=1)
    assert json.loads(ended.stdout)["kind"] == "PlanError" and len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"format": NaN}', b"[" * 100_000, b" " * 2_000_000])
def test_other_files_are_no_rates(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "rates.json"
    path.write_bytes(data)
    with pytest.raises(PlanError, match="not a file of rates"):
        read_rates(path)
    if data:  # an empty file may be replaced
        in_process.run("plan", "--measure", path, code=1)
    assert path.read_bytes() == data


@pytest.fixture(scope="module")
def rates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measured with little effort on four photographs and a file that is none."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "few").mkdir()
    for path in sorted((PHOTOS / "references").glob("*.jpg"))[:4]:
        shutil.copy(path, folder / "few")
    (folder / "few" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more than that")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verb, "EFFORT", Effort(images=10, rounds=1, starts=1, rows=16_384))
        # Then it goes by processor time, which a busy moment does not change.
        patch.setattr("copytrace.engine.plan.measuring.shown_busy", lambda *measured: "tests run beside it")
        in_process.run("plan", "--measure", folder / "rates.json", "--images", folder / "few", "--threads", 2)
    return folder / "rates.json"


def test_what_was_measured(rates: Path) -> None:
    found = read_rates(rates)
    photographs = [path.stat().st_size for path in (rates.parent / "few").iterdir()]
    assert found.image_bytes == pytest.approx(sum(photographs) / 5) and found.image_count == 5
    assert (found.device, found.threads, found.dimension) == ("cpu", 2, 256)
    assert found.machine["processors"] >= 1 and found.image_pixels > 10_000
    assert 1024 < found.sizes.descriptor_row < 1200 and 10 < found.sizes.pair_row < 100
    assert 1 <= found.sizes.views <= 7 and 1 <= found.sizes.features <= 200
    assert found.sizes.collection_reference > 136 * found.sizes.features
    seconds = found.seconds
    assert seconds.scan_pair < seconds.scan_row < seconds.reference < seconds.start


def test_a_plan(rates: Path) -> None:
    options = ("--references", "1e9", "--queries", "1e6", "--rates", rates)
    plan = json.loads(in_process.run("plan", *options, "--hours", 24, "--json").stdout)
    rate = json.loads(rates.read_text())["seconds"]["reference"]
    first = plan["descriptors_alone"][0]
    assert first["name"] == "embed the references" and first["value"] == pytest.approx(1e9 * rate)
    assert {"descriptors_alone", "with_the_second_look", "on_disk", "in_memory", "choices", "notes"} <= set(plan)
    assert plan["rates"] == json.loads(rates.read_text())
    text = in_process.run("plan", *options).stdout
    assert "1e9 references x " in text and "what to choose" in text and "megapixels on average" in text


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--references", "0"), 2),
        (("--references", "-5"), 2),
        (("--references", "nan"), 2),
        (("--references", "1e30"), 2),
        (("--references", "1.5"), 2),
        (("--references", ""), 2),
        (("--queries", "inf"), 2),
        (("--top", "0"), 2),
        (("--machines", "1e7"), 1),
        (("--machines", "0"), 2),
        (("--hours", "nan"), 1),
        (("--hours", "0"), 1),
        (("--hours", "-1"), 1),
        (("--hours", "1e9"), 1),
        (("--image-bytes", "nan"), 1),
        (("--image-bytes", "0"), 1),
        (("--gpus", "1"), 1),
        (("--gpus", "1", "--machines", "1"), 1),
        (("--images", "photos"), 2),
        (("--device", "cpu"), 2),
        (("--measure", "there.json"), 2),
    ],
)
def test_nonsense_is_one_line(rates: Path, options: tuple[str, ...], code: int) -> None:
    given = {"--references": "1e6", "--queries": "1e3", "--rates": str(rates)}
    given |= dict(zip(options[::2], options[1::2], strict=True))
    ended = in_process.run("plan", *(word for pair in given.items() for word in pair), "--json", code=code)
    assert set(json.loads(ended.stdout)) == {"error", "kind"} and "Traceback" not in ended.stderr


@pytest.mark.parametrize("options", [(), ("--references", 5), ("--queries", 5, "--measure", "r.json")])
def test_what_is_missing_is_said(options: tuple[object, ...]) -> None:
    assert "--references and --queries" in in_process.run("plan", *options, code=2).stderr.replace("\n", " ")


def test_a_card_is_asked_for_before_anything_is_measured() -> None:
    ended = in_process.run("plan", "--references", 5, "--queries", 5, "--gpus", 1, "--device", "cpu", code=1)
    assert "cannot be derived" in ended.stderr and "measuring" not in ended.stderr


def test_a_plan_beside_a_measured_run() -> None:
    def stage(name: str, wall: float) -> dict[str, object]:
        return {"name": name, "wall_s": wall, "ended": "done"}

    parts = [
        stage("embed references-00", 1500),
        stage("embed references-01, killed", 500),
        stage("embed references-01", 1000),
    ]
    others = [stage("embed queries", 160), stage("merge", 30), stage("submission", 99), stage("search", 56)]
    record = {"references": 1_000_000, "queries": 50_000, "pairs": 500_000, "stages": [*parts, *others]}
    rows = compared(record, RATES)
    assert [(row.name, row.measured, row.planned) for row in rows] == [
        ("embed the references", 3000, 3006),  # three commands
        ("embed the queries", 160, pytest.approx(162)),
        ("merge the parts", 30, pytest.approx(12)),  # off, and too short to count
        ("search, exact", 56, pytest.approx(56)),
        ("together", 3246, pytest.approx(3236)),
    ]
    assert off(rows) == []
    for first in parts:
        first["wall_s"] /= 2
    assert off(compared(record, RATES)) == ["embed the references", "together"]
