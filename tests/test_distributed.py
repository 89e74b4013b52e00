"""What needs no cluster: how many actors there are, who is slow, who holds the folder, and which addresses are refused."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from copytrace.engine import ClusterError, SourceError, StoreError
from copytrace.engine.distributed import embed_on_cluster
from copytrace.engine.distributed.cluster import Machine, Staffing, connected
from copytrace.engine.distributed.folder import check_shared, held
from copytrace.engine.distributed.pace import Counted, Pace

from conftest import PHOTOS
from in_process import run


@pytest.mark.parametrize(
    ("machines", "asked", "expected"),
    [
        ([(2, 0)], {}, (1, 2, 0)),
        ([(2, 0)], {"actors": 2}, (2, 1, 0)),
        ([(2, 0)], {"actors": 5}, (5, 1, 0)),
        ([(2, 0)], {"threads": 1}, (2, 1, 0)),
        ([(0, 0), (16, 0), (8, 0)], {}, (3, 8, 0)),
        ([(16, 0), (8, 0)], {"actors": 4}, (4, 4, 0)),
        ([(16, 4), (16, 0)], {"on_cards": True}, (4, 4, 1)),
        ([(16, 4), (8, 8)], {"on_cards": True}, (12, 1, 1)),
        ([(16, 4)], {"on_cards": True, "threads": 8}, (2, 8, 1)),
    ],
)
def test_as_many_actors_as_there_is_room_for(
    machines: list[tuple[int, int]], asked: dict[str, int], expected: tuple[int, int, int]
) -> None:
    staff = Staffing.of([Machine(*one) for one in machines], **asked)
    assert (staff.actors, staff.threads, staff.gpus) == expected


def test_no_room_is_an_error() -> None:
    with pytest.raises(ClusterError, match="has 4 processors for one actor; the largest has 2"):
        Staffing.of([Machine(2, 0), Machine(1, 0)], threads=4)
    with pytest.raises(ClusterError, match="has processors to give"):
        Staffing.of([Machine(0, 0)])
    with pytest.raises(ClusterError, match="has a graphics card to give"):
        Staffing.of([Machine(8, 0)], on_cards=True)


def test_what_stands_still_and_what_is_slow() -> None:
    pace = Pace.begun(100.0)
    assert not pace.stalled(3600.0, 300.0) and pace.stalled(3800.0, 300.0), "before the first image all are looked at"
    pace.saw(Counted(500, 1000), 110.0)  # as a shard that is gone on with
    assert pace.rate(110.0) == 0 and not pace.stalled(409.0, 300.0) and pace.stalled(411.0, 300.0)
    pace.saw(Counted(560, 1000), 160.0)
    assert pace.rate(160.0) == 1.0  # 440 are left: 440 s here, 4.4 s at 100 a second
    assert pace.slow(160.0, 100.0) and pace.slow(160.0, 3.5) and not pace.slow(160.0, 3.0)
    assert not pace.slow(129.0, 100.0), "too early to tell"
    pace.saw(Counted(990, 1000), 960.0)
    assert not pace.slow(960.0, 100.0), "it is done before another would have started"
    assert not Pace.begun(0.0).slow(500.0, 100.0), "nothing is known of it"
    stuck = Pace.begun(0.0)
    stuck.saw(Counted(1, 10), 1.0)
    assert stuck.slow(40.0, 5.0) and not stuck.slow(40.0, 0.0)


def test_a_folder_is_held_by_one_driver_and_seen_by_all(tmp_path: Path) -> None:
    folder = tmp_path / "r.h5.parts"
    with held(folder) as token:
        check_shared(folder, token, "here")
        with pytest.raises(StoreError, match="another run is filling it"), held(folder):
            pass
        with pytest.raises(ClusterError, match=r"there does not see .* as the driver does"):
            check_shared(tmp_path, token, "there")
        (tmp_path / ".driver").write_text("another")
        with pytest.raises(ClusterError, match="one folder for all machines"):
            check_shared(tmp_path, token, "there")
    assert not folder.exists(), "nothing was put into it"
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "none" / "deep"):
        with pytest.raises(StoreError, match="cannot be made a folder of parts"), held(place):
            pass
    folder.mkdir()
    (folder / "part").touch()
    with held(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["part"]


def test_where_no_cluster_is_is_said_at_once() -> None:
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        for address, words in {
            f"127.0.0.1:{server.server_port}": "what answers there is not the head of a cluster",
            "127.0.0.1:1": "no cluster answers there: Connection refused",
            "ray://127.0.0.1:10001": "the address of a cluster is auto",
            "127.0.0.1": "the address of a cluster is auto",
            "127.0.0.1:0": "the address of a cluster is auto",
            "": "the address of a cluster is auto",
        }.items():
            with pytest.raises(ClusterError, match=words), connected(address):
                pass
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_usage(tmp_path: Path) -> None:
    embed, search = ("embed", PHOTOS / "queries", "-o", tmp_path / "f.h5"), ("search", "q.h5", "r.h5", "-o", "p.csv")
    for wrong in ((*embed, "--ray", "auto"), (*embed, "--shards", 4), (*embed, "--actors", 2), (*search, "--parts", 2)):
        run(*wrong, code=2)
    run(*embed, "--ray", "auto", "--shards", 4, "--shard", "0/4", code=2)
    refused = run(*embed, "--ray", "127.0.0.1:1", "--shards", 4, "--json", code=1)
    assert '"kind": "ClusterError"' in refused.stdout and len(refused.stderr.splitlines()) == 1
    with pytest.raises(SourceError, match="standard input"):
        embed_on_cluster("-", tmp_path / "f.h5", 2)
    for options in ({"shards": 0}, {"actors": 0}, {"threads": 0}, {"attempts": 0}):
        with pytest.raises(ValueError, match="must be a whole number"):
            embed_on_cluster(PHOTOS, tmp_path / "f.h5", **{"shards": 2, **options})
    assert not list(tmp_path.iterdir())
