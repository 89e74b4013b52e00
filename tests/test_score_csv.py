"""CSV files by many hands: every dialect gives the same table, everything odd is refused with its line."""

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from copytrace.engine import GroundTruth, ScoredPairs, ScoreError, read_pairs, read_truth
from copytrace.engine.score import read_labels, write_pairs

TRUTH = GroundTruth.of([("Q1", "R1"), ("Q2", ""), ("Q3", "R3"), ("Q3", "R4")])
TRUTH_ROWS = "Q1,R1\nQ2,\nQ3,R3\nQ3,R4\n"
PAIRS_ROWS = "Q1,R1,2\nQ2,R1,-1.5e-1\n"
READERS = {
    "pairs": read_pairs,
    "truth": read_truth,
    "labels": lambda path: read_labels(path, "class_name"),
}


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "above",
    [
        "",
        "query_id,reference_id\n",
        "Query_ID,Reference_ID\n",
        " QUERY ID , Reference-Id \n",
        "query,reference\n",
        "q,r\n",
        "queryId,referenceId\n",
        "query_image_id,reference_image_id\n",
        "query_id,db_id\n",
        '"query_id","reference_id"\r\n',
        "\ufeffquery_id,reference_id\n",
        "\n  \nquery_id,reference_id\n",
        "# made by hand, 2024\n\n#again\nquery_id,reference_id\n",
        "\ufeff# made by hand\nQuery,Ref\n",
        "# query_id,reference_id\n",
        "# no header follows\n",
    ],
)
def test_headers_of_truth(tmp_path: Path, above: str) -> None:
    assert read_truth(written(tmp_path, above + TRUTH_ROWS)) == TRUTH


@pytest.mark.parametrize("above", ["", "Query_ID,Reference_ID,Score\n", "q,r,similarity\n", "# x\n\nquery,ref,score\n"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_headers_of_pairs(tmp_path: Path, above: str, delimiter: str) -> None:
    text = (above + PAIRS_ROWS).replace(",", delimiter)
    pairs = read_pairs(written(tmp_path, text))
    assert pairs.queries == ["Q1", "Q2"] and pairs.references == ["R1", "R1"] and pairs.scores.tolist() == [2, -0.15]


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    pairs = read_pairs(written(tmp_path, ",score,note,reference_id,query_id\n0,0.5,x,R1,Q1\n"))
    assert (pairs.queries, pairs.references, pairs.scores.tolist()) == (["Q1"], ["R1"], [0.5])
    labels = read_labels(written(tmp_path, "Class_Name;Query_ID\n crop ;Q1\nNaN;Q2\n"), "class_name")
    assert labels == {"Q1": "crop", "Q2": ""}


@pytest.mark.parametrize("word", ["", "  ", "NaN", "nan", "null", "NULL", "None", "none", '""', '" "'])
def test_words_for_no_copy(tmp_path: Path, word: str) -> None:
    truth = read_truth(written(tmp_path, f"query_id,reference_id\nQ1,R1\nQ2,{word}\n"))
    assert truth == GroundTruth.of([("Q1", "R1"), ("Q2", "")])


def test_ids_that_only_look_odd(tmp_path: Path) -> None:
    text = "query_id,reference_id\n#1,R1\nquery,reference\n"
    assert read_truth(written(tmp_path, text)).positives == {("#1", "R1"), ("query", "reference")}
    assert read_pairs(written(tmp_path, "q,r,0.5\n")).queries == ["q"]
    assert read_truth(written(tmp_path, "a,b\n\n  \nc, \n")) == GroundTruth.of([("a", "b"), ("c", "")])


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("truth", "query_id,reference_id\nQ1,R1\nQ2\n", "line 3: 1 column, expected 2"),
        ("truth", "query_id,reference_id\nQ1,R1,R2\n", "line 2: 3 columns, expected 2"),
        ("truth", "query_id,reference_id\n,R1\n", "line 2: no query"),
        ("truth", "query_id,reference_id\nNaN,R1\n", "line 2: no query: 'NaN'"),
        ("truth", "query_id,reference_id\nQ1,N/A\n", "line 2: does 'N/A' mean"),
        ("truth", "query_id,reference_id\nQ1,-1\n", "line 2: does '-1' mean"),
        ("truth", "# a\n\nquery_id,reference_id\nQ1,R1\n\nQ1,R1\n", "line 6: .*Q1, R1 twice"),
        ("truth", "Q1,\nQ1, nan\n", "line 2: .*Q1, .*twice"),
        ("truth", "Q1,R1\nQ1,\n", "line 2: .*Q1 both"),
        ("truth", "Q1,\nQ1,R1\n", "line 2: .*Q1 both"),
        ("truth", "Q1,R1\n# the rest, by hand\nQ2,R2\n", "line 2: a comment"),
        ("truth", "Q1,R1\n#\nQ2,R2\n", "line 2: a comment"),
        ("truth", "query_id,reference_id\nQ1,R1\nquery_id,reference_id\n", "line 3: a header among"),
        ("truth", "Q1,R1\nQuery_ID,Reference_ID\n", "line 2: a header among"),
        ("truth", "image,original\nQ1,R1\n", "line 1: 2 columns, expected query_id, reference_id"),
        ("truth", "query_id,match\nQ1,R1\n", "line 1: 2 columns, expected query_id"),
        ("truth", "query_id,reference_id,score\nQ1,R1,1\n", "ground truth"),
        ("truth", "query,q,reference\nQ1,Q2,R1\n", "line 1: which of 'query' and 'q'"),
        ("truth", "#1,R1\nQ2,R2\n", "comment or a row"),
        ("truth", "a;b,c\n", "delimiter"),
        ("truth", 'Q1,"R1\nQ2,R2\n', "line 1: .*quotes"),
        ("truth", 'Q1,R1\nQ2,"R2"x\n', "line 2: broken quotes"),
        ("truth", "", "nothing in it"),
        ("truth", "# only\n", "nothing in it"),
        ("truth", b"Q1,R\x001\n", "zero bytes"),
        ("truth", "query_id,reference_id\n".encode("utf-16"), "UTF-8"),
        ("pairs", "query_id,reference_id,score\nQ1,R1,inf\n", "line 2: the score inf is infinite"),
        ("pairs", "Q1,R1,1\nQ2,R2,-Infinity\n", "line 2: the score -Infinity"),
        ("pairs", "Q1,R1,1e999\n", "line 1: .*infinite"),
        ("pairs", "Q1,R1,NaN\n", "line 1: the score is NaN"),
        ("pairs", "Q1,R1,1\nQ2,R2,1_0\n", "line 2: the score '1_0'"),
        ("pairs", "Q1,R1,1\nQ2,R2,\n", "line 2: the score ''"),
        ("pairs", "Q1;R1;0,5\n", "line 1"),
        ("pairs", "Q1;R1;1\nQ2;R2;0,5\n", "line 2: the score '0,5'"),
        ("pairs", "query_id,reference_id,score\nQ1,,1\n", "line 2: no reference"),
        ("pairs", "query_id,reference_id,score\nQ1,null,1\n", "line 2: no reference: 'null'"),
        ("pairs", "query_id,reference_id,score\nQ1,R1,1\nQ2,R2,1\n Q1 ,R1,2\n", "line 4: .*twice, first on line 2"),
        ("pairs", "query_id,reference_id,distance\nQ1,R1,1\n", "line 1: 3 columns, expected query_id"),
        ("pairs", "Q1 R1 1\n", "line 1: 1 column"),
        ("pairs", "", "nothing in it"),
        ("labels", "query_id,class_name\nQ1,crop\nQ1,crop\n", "line 3: .*Q1 is there twice"),
        ("labels", "query_id,kind\nQ1,crop\n", "class_name"),
        ("labels", "query_id,class_name\n,crop\n", "line 2: no query"),
    ],
)
def test_what_is_refused(tmp_path: Path, kind: str, text: str | bytes, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ScoreError, match=f"table.csv: .*{message}"):
        READERS[kind](path)


def test_fields_of_any_length(tmp_path: Path) -> None:
    name = "x" * 300_000
    assert read_truth(written(tmp_path, f"Q1,{name}\n")).positives == {("Q1", name)}
    assert read_pairs(written(tmp_path, f"Q1,{name},1\n")).references == [name]


def test_tables_check_what_python_gives_them() -> None:
    for queries, references, scores in (
        (["a"], ["x"], [np.inf]),
        (["a"], ["x"], [-np.inf]),
        (["a"], ["x", "y"], [1.0]),
        (["a"], ["x"], [[1.0]]),
        ([1], ["x"], [1.0]),
    ):
        with pytest.raises(ScoreError):
            ScoredPairs(queries, references, scores)  # type: ignore[arg-type]
    for rows in ([("a", ""), ("a", "x")], [("a", "x"), ("a", None)], [("a", 1)], [("a", float("nan"))]):
        with pytest.raises(ScoreError):
            GroundTruth.of(rows)  # type: ignore[arg-type]


IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6)
PLAIN_IDS = (
    st.text("abQR01_.-#é ", min_size=1, max_size=6)
    .map(str.strip)
    .filter(lambda name: name[:1] not in ("", "#") and name not in ("-", "--", "-1", "Q", "R"))
)


@given(st.dictionaries(st.tuples(IDS, IDS), st.floats(allow_nan=False, allow_infinity=False), max_size=6))
@settings(max_examples=200, deadline=None)
def test_written_pairs_are_read_again_or_refused(pairs: dict[tuple[str, str], float]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.csv"
        write_pairs(path, [q for q, _ in pairs], [r for _, r in pairs], np.array(list(pairs.values()), float))
        assert path.read_bytes().startswith(b"query_id,reference_id,score\n")
        try:
            found = read_pairs(path)
        except ScoreError:
            odd = [name.strip() for pair in pairs for name in pair]
            stripped = {(q.strip(), r.strip()) for q, r in pairs}
            assert (
                len(stripped) < len(pairs)
                or any(name.lower() in ("", "nan", "null", "none", "query_id") for name in odd)
                or any(name.startswith("#") for name in odd)
            )
            return
        expected = {(q.strip(), r.strip()): score for (q, r), score in pairs.items()}
        assert dict(zip(zip(found.queries, found.references, strict=True), found.scores, strict=True)) == expected


@st.composite
def dialects(draw: st.DrawFn) -> tuple[GroundTruth, bytes]:
    """A ground truth, and a file of it in some dialect."""
    labels = draw(st.dictionaries(PLAIN_IDS, st.lists(PLAIN_IDS, max_size=2, unique=True), min_size=1, max_size=5))
    rows = [(query, name) for query, names in labels.items() for name in names or [""]]
    delimiter, end = draw(st.sampled_from(",\t;")), draw(st.sampled_from(["\n", "\r\n"]))
    none = draw(st.sampled_from(["", "NaN", "null", "None"]))
    above = draw(st.lists(st.sampled_from(["", "  ", "# a comment, or two", "#x"]), max_size=3))
    header = draw(st.sampled_from([("query_id", "reference_id"), ("Query", "Reference"), ("Q", "R")]))
    text = io.StringIO(newline="")
    writer = csv.writer(
        text, delimiter=delimiter, lineterminator=end, quoting=draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
    )
    writer.writerow(header)
    for query, name in rows:
        pad = draw(st.sampled_from(["", " "]))
        writer.writerow([pad + query, (name or none) + pad])
        if draw(st.booleans()):
            text.write(end)
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig"]))
    return GroundTruth.of(rows), "".join([*(line + end for line in above), text.getvalue()]).encode(encoding)


@given(dialects())
@settings(max_examples=300, deadline=None)
def test_every_dialect_gives_the_same_truth(example: tuple[GroundTruth, bytes]) -> None:
    truth, data = example
    with TemporaryDirectory() as folder:
        assert read_truth(written(Path(folder), data)) == truth


CELLS = st.sampled_from(
    ["query_id", "reference_id", "score", "class_name", "Q1", "R1", "1", "nan", "inf", "#", '"', "é"]
)
JUNK = st.one_of(
    st.binary(max_size=200),
    st.lists(st.lists(CELLS, max_size=4).map(",".join), max_size=5).map(lambda rows: "\n".join(rows).encode()),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
)


@pytest.mark.parametrize("kind", READERS)
@given(data=JUNK)
@example(data=b'classname,"\x01\nq"\n\x01')  # a header with a line break
@settings(max_examples=300, deadline=None)
def test_readers_refuse_what_they_cannot_read(kind: str, data: bytes) -> None:
    """A ScoreError, or a table without headers, odd scores and empty ids in it; nothing else."""
    with TemporaryDirectory() as folder:
        try:
            found = READERS[kind](written(Path(folder), data))
        except ScoreError as error:
            assert "\n" not in str(error).replace(folder, "")
            return
    if isinstance(found, ScoredPairs):
        assert np.isfinite(found.scores).all() and "" not in {*found.queries, *found.references}
        assert "query_id" not in found.queries
    elif isinstance(found, GroundTruth):
        assert "" not in found.queries and "query_id" not in found.queries
    else:
        assert "" not in found and "query_id" not in found
