"""The report: verdicts that add up, pictures that are there or said to be missing, and where it all comes from."""

import html
import re
import shutil
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copytrace.engine import GroundTruth, ScoredPairs, save_report, score_pairs
from copytrace.engine.score.verdicts import verdicts

from conftest import PHOTOS

TRUTH = GroundTruth.of([("a", "x"), ("b", "y"), ("c", ""), ("d", ""), ("e", "x"), ("e", "z"), ("f", "w")])
PAIRS = [
    ("a", "x", 5.0),
    ("b", "x", 4.0),
    ("b", "y", 3.0),
    ("c", "x", 6.0),
    ("d", "x", 1.0),
    ("e", "z", 5.0),
    ("g", "x", 9.0),
]


def table(rows: list[tuple[str, str, float]]) -> ScoredPairs:
    return ScoredPairs([r[0] for r in rows], [r[1] for r in rows], np.array([r[2] for r in rows], float))


def text_of(page: str) -> str:
    """What a reader sees: no tags, no style, single blanks."""
    body = re.sub(r"<(style|title).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_verdicts() -> None:
    kinds = {verdict.query: verdict.kind for verdict in verdicts(table(PAIRS), TRUTH, 2.0)}
    assert kinds == {"a": "found", "b": "wrong", "c": "false", "d": "rejected", "e": "found", "f": "missed"}
    assert {v.query: v.kind for v in verdicts(table(PAIRS), TRUTH, 5.5)}["a"] == "missed"
    without = {v.query: v.kind for v in verdicts(table(PAIRS), TRUTH, None)}
    assert without == {name: "rejected" if name in "cd" else "missed" for name in "abcdef"}
    for tied in ([("a", "x", 1.0), ("a", "q", 1.0)], [("a", "q", 1.0), ("a", "x", 1.0)]):
        assert verdicts(table(tied), TRUTH, 1.0)[0].kind == "wrong"


@given(
    st.dictionaries(st.tuples(st.integers(0, 6), st.integers(0, 4)), st.integers(0, 3), max_size=30),
    st.dictionaries(st.integers(0, 5), st.lists(st.integers(0, 4), max_size=2, unique=True), min_size=1),
    st.none() | st.integers(0, 4),
)
@settings(max_examples=200, deadline=None)
def test_every_query_has_one_verdict(
    pairs: dict[tuple[int, int], int], labels: dict[int, list[int]], threshold: int | None
) -> None:
    truth = GroundTruth.of(
        [(f"q{q}", f"r{r}" if r is not None else "") for q, rs in labels.items() for r in rs or [None]]
    )
    rows = [(f"q{q}", f"r{r}", float(score)) for (q, r), score in pairs.items()]
    found = {verdict.query: verdict.kind for verdict in verdicts(table(rows), truth, threshold)}
    assert sorted(found) == truth.queries
    for query, kind in found.items():
        above = [row for row in rows if row[0] == query and threshold is not None and row[2] >= threshold]
        top = [row for row in above if row[2] == max(row[2] for row in above)]
        copy = bool(labels[int(query[1:])])
        right = bool(top) and all(row[:2] in truth.positives for row in top)
        expected = ("found" if right else "wrong" if above else "missed") if copy else "false" if above else "rejected"
        assert kind == expected


def test_the_page_adds_up(tmp_path: Path) -> None:
    scored = score_pairs(table(PAIRS), TRUTH, labels={"b": "crop & more", "c": "blur"})
    assert save_report(scored, tmp_path / "r.html", title="<title>", stages={"decode": 1.5}) == []
    page = (tmp_path / "r.html").read_text()
    text = text_of(page)
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    assert 'src="http' not in page and "href=" not in page and page.count("data:image/png") == 2
    assert "<title> 6 labelled queries: 4 are copies, 2 are not." in text and "decode 1.500" in text
    assert "5 right pairs exist" in text and "crop & more 1 1" in text
    assert (
        "0 found + 0 taken for another reference + 4 missed" in text
        and "= 4. No copies: 0 matched all the same + 2 rejected = 2" in text
    )
    assert "No pictures were given of the queries and the references." in text


def test_precision_that_is_never_reached_is_said(tmp_path: Path) -> None:
    save_report(score_pairs(table(PAIRS), TRUTH), tmp_path / "r.html")
    text = text_of((tmp_path / "r.html").read_text())
    assert "Precision 0.9 is never reached" in text and "recall@P90 never reached" in text
    assert "scores at least" not in text
    save_report(score_pairs(table(PAIRS[:2]), TRUTH), tmp_path / "r.html")
    text = text_of((tmp_path / "r.html").read_text())
    assert "scores at least 5: there precision" in text and "never reached" not in text
    assert "1 found + 0 taken for another reference + 3 missed" in text
    with pytest.warns(UserWarning, match="there are no pairs"):
        save_report(score_pairs(table([]), TRUTH), tmp_path / "r.html")
    assert "There are no pairs to score" in (tmp_path / "r.html").read_text()


def cards(page: str, kind: str) -> list[str]:
    return [text_of(card) for card in re.findall(rf'<div class="card {kind}">(.*?)</div>\n</div>', page, re.DOTALL)]


def test_cards_show_what_was_expected(tmp_path: Path) -> None:
    good = [(f"n{i}", "x", 8.0 - i / 100) for i in range(20)]
    odd = [("b", "x", 7.0), ("c", "x", 6.9), ("g", "x", 6.5)]  # at the threshold: 21 of 23 are right
    low = [*((f"n{i}", "q", 6.0) for i in range(9)), ("e", "z", 1.0)]
    copies = [*((query, "x") for query, _, _ in good), ("b", "y"), ("e", "z"), ("f", "y"), ("f", "w"), ("g", "x")]
    labels = {"b": "crop", "c": "blur", "e": "frame", "f": "colour"}
    scored = score_pairs(table([*good, *odd, *low]), GroundTruth.of([*copies, ("c", "")]), labels=labels)
    assert scored.evaluation.threshold_at_p90 == 6.5
    save_report(scored, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    (wrong,), (false,), missed = cards(page, "wrong"), cards(page, "false"), cards(page, "missed")
    assert "query b" in wrong and "best match x" in wrong and "expected y" in wrong and "edit: crop" in wrong
    assert "no copy expected" in false and "edit: blur" in false and "score 6.9" in false
    assert "right but too low" in missed[0] and "edit: frame" in missed[0]
    assert (
        "no pair has this query" in missed[1] and "expected, and 1 more w" in missed[1] and "edit: colour" in missed[1]
    )


def test_pictures_and_their_absence(tmp_path: Path) -> None:
    queries = tmp_path / "queries" / "deep"
    queries.mkdir(parents=True)
    names = sorted(path.name for path in (PHOTOS / "queries").iterdir())[:3]
    for name in names:
        shutil.copy(PHOTOS / "queries" / name, queries / name)
    (queries / names[1]).write_bytes((queries / names[1]).read_bytes()[:50])
    reference = sorted((PHOTOS / "references").iterdir())[0]
    ids = [f"deep/{name}" for name in names] + ["deep/absent.jpg"]
    scored = score_pairs(
        table([(name, reference.name, 1.0 - i / 10) for i, name in enumerate(ids)]),
        GroundTruth.of([(name, reference.name) for name in ids]),
    )
    with pytest.warns(UserWarning, match="2 pictures are missing"):
        missing = save_report(
            scored, tmp_path / "r.html", queries=tmp_path / "queries", references=PHOTOS / "references", ids="path"
        )
    assert [(one.role, one.id) for one in missing] == [("query", ids[1]), ("query", ids[3])]
    assert "not a usable image" in missing[0].reason and "not among the 3 images" in missing[1].reason
    page = (tmp_path / "r.html").read_text()
    assert page.count("data:image/jpeg") == 6 and text_of(page).count("picture missing") == 2
    assert "2 of 5 pictures are missing: query deep/" in text_of(page)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_report(scored, tmp_path / "r.html")


def test_the_page_names_where_it_comes_from(tmp_path: Path) -> None:
    scored = score_pairs(table(PAIRS), TRUTH)
    with pytest.warns(UserWarning, match="missing"):
        save_report(scored, tmp_path / "r.html", references=PHOTOS / "references", origin={"bundle": "b1"})
    text = text_of((tmp_path / "r.html").read_text())
    assert re.search(rf"copytrace {re.escape(version('copytrace'))} date 20\d\d-\d\d-\d\d \d\d:\d\d", text)
    assert "bundle b1 precision not told" in text and f"reference pictures {PHOTOS / 'references'}" in text
