"""The service as a process: how it starts, what signals do, kills, full disks, flipped bytes."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from services import photo, running

from copytrace.engine import Collection, CopytraceError, ServiceError
from copytrace.engine.serve import Settings, load_settings
from copytrace.engine.serve.server import serve
from copytrace.engine.serve.service import Service

from bundle_files import small_bundle
from kills import COMMAND, Process, kill_over_and_over


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "small")


def test_kills_lose_nothing_that_was_acknowledged(tmp_path: Path, bundle: Path) -> None:
    """The short form of ``make test-kills``."""
    assert "3 kills" in kill_over_and_over(tmp_path / "refs.ct", bundle, kills=3, clients=8)


PATIENT = ("--request-seconds", "100", "--drain-seconds", "100")
"""What is under way is finished, however busy the machine."""


def figure(process: Process, name: str) -> float:
    """Of a service, by its metrics."""
    text = httpx.get(f"{process.url}/metrics", timeout=60).text
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


@pytest.mark.parametrize(
    ("apart", "images", "code", "answered"), [(0.1, 4, 0, [200]), (2.0, 64, 128 + signal.SIGTERM, [])]
)
def test_signals_that_come_together_are_one_and_a_further_one_ends_at_once(
    apart: float, images: int, code: int, answered: list[int], tmp_path: Path, bundle: Path
) -> None:
    process, answers = Process(tmp_path / "refs.ct", bundle, "--threads", "1", *PATIENT), list[int]()
    large = cv2.imencode(".png", np.zeros((4000, 6000, 3), np.uint8))[1].tobytes()  # long to decode, short to send
    files = [("images", (f"{i}.png", large)) for i in range(images)]

    def ask() -> None:
        with contextlib.suppress(httpx.TransportError):  # left without an answer
            answers.append(httpx.post(f"{process.url}/v1/match", files=files, timeout=100).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    while not figure(process, "copytrace_batch_images_count"):  # none is computed yet
        assert answers or asking.is_alive()
        time.sleep(0.01)
    process.process.send_signal(signal.SIGTERM)
    time.sleep(apart)
    assert process.end(signal.SIGTERM) == code
    asking.join()
    assert answers == answered
    with Collection.open(tmp_path / "refs.ct", write=True):
        pass


def test_sigterm_finishes_what_is_under_way_and_ends_with_0(tmp_path: Path, bundle: Path) -> None:
    process = Process(tmp_path / "refs.ct", bundle, "--threads", "1", *PATIENT)
    files = [("images", (f"{i}.jpg", photo(i))) for i in range(40)]
    answers: list[httpx.Response] = []
    clients = [httpx.Client(base_url=process.url, timeout=100) for _ in range(4)]
    size = int(clients[0].build_request("POST", "/v1/references", files=files).headers["content-length"])

    threads = [
        threading.Thread(target=lambda client=client: answers.append(client.post("/v1/references", files=files)))
        for client in clients
    ]
    for thread in threads:
        thread.start()
    while len(answers) * size + figure(process, "copytrace_upload_bytes") < 4 * size:  # not all have arrived
        assert len(answers) == 4 or any(thread.is_alive() for thread in threads)
        time.sleep(0.001)
    assert process.end(signal.SIGTERM) == 0
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 4
    with Collection.open(tmp_path / "refs.ct", write=True) as collection:
        acknowledged = {item["id"] for answer in answers for item in answer.json()["items"]}
        assert set(collection.ids) >= acknowledged and collection.check() == []


def test_a_signal_while_it_starts_ends_it_with_0(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What loads is let go of, and nothing is raised."""
    settings = Settings(bundle=bundle, no_auth=True, port=0, log_level="error")
    with running(tmp_path / "refs.ct", bundle=bundle) as own:
        own.add(("one.jpg", photo(1)))
    load = Service.load

    def slowly(service: Service) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.3)
        load(service)

    monkeypatch.setattr(Service, "load", slowly)
    serve(tmp_path / "refs.ct", settings, print)
    with Collection.open(tmp_path / "refs.ct", write=True) as collection:
        assert collection.ids == ["one"]


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "serve", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
    )


def test_settings_by_option_environment_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('port = 1\nqueue_images = 100\nhost = "localhost"\n')
    monkeypatch.setenv("COPYTRACE_PORT", "2")
    monkeypatch.setenv("COPYTRACE_BATCH_IMAGES", "7")
    monkeypatch.setenv("COPYTRACE_RATE", "")
    found = load_settings({"port": 3}, file)
    assert (found.port, found.queue_images, found.batch_images, found.host) == (3, 100, 7, "localhost")
    assert load_settings({}, file).port == 2 and load_settings({}).queue_images == Settings().queue_images
    shown = run("refs.ct", "--settings", file, "--port", 4, "--print-settings", COPYTRACE_LOG_LEVEL="error")
    values = json.loads(shown.stdout)
    assert (values["port"], values["queue_images"], values["log_level"]) == (4, 100, "error")
    assert set(values) == set(Settings.model_fields) and not Path("refs.ct").exists()


@pytest.mark.parametrize(
    ("given", "text", "message"),
    [
        ({"port": 70000}, "", "port"),
        ({"no_auth": True, "host": "0.0.0.0"}, "", "loopback"),
        ({"request_images": 10, "queue_images": 5}, "", "request_images"),
        ({"tls_key": "key.pem"}, "", "tls_certificate"),
        ({}, "port = ", "not a TOML file"),
        ({}, "prot = 1", "prot"),
        ({}, "rate = 0", "rate"),
        ({}, None, "No such file"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, given: dict[str, Any], text: str | None, message: str) -> None:
    file = tmp_path / "settings.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ServiceError, match=message) as error:
        load_settings(given, file)
    assert "\n" not in str(error.value)


def test_what_cannot_start_says_why_in_one_line(tmp_path: Path, bundle: Path) -> None:
    refs = tmp_path / "refs.ct"
    with running(refs, bundle=bundle) as own:
        port = own.url.rpartition(":")[2]
        own.add(("one.jpg", photo(1)))
        for path, number, message in ((tmp_path / "other.ct", port, "in use"), (refs, 0, "is being changed")):
            with pytest.raises(CopytraceError, match=message) as error:
                serve(path, Settings(bundle=bundle, no_auth=True, port=number, log_level="error"), print)
            assert "\n" not in str(error.value)
    (segment,) = refs.glob("descriptors-*")
    data = bytearray(segment.read_bytes())
    data[-1] ^= 1
    segment.write_bytes(data)
    result = run(refs, "--port", 0, "--bundle", bundle, "--no-auth", "--log-level", "error")
    assert result.returncode == 1, result
    assert "error: " in result.stderr and "'one' is damaged" in result.stderr and "Traceback" not in result.stderr


def test_a_collection_of_another_bundle_is_refused(tmp_path: Path, bundle: Path) -> None:
    Collection.create(tmp_path / "refs.ct", 8, {"space": "another", "precision": "int8", "output": "projected"}).close()
    with pytest.raises(Exception, match="another space"):
        Service(tmp_path / "refs.ct", Settings(bundle=bundle, no_auth=True))
    with Collection.open(tmp_path / "refs.ct", write=True):  # and is let go of
        pass


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_answers_507_and_reads_go_on(small_disk: Path, bundle: Path) -> None:
    with running(small_disk / "refs.ct", bundle=bundle) as own:
        own.add(("one.jpg", photo(1)))
        (small_disk / "filler").write_bytes(bytes(_free(small_disk)))
        data = {"metadata": json.dumps([{"text": "x" * 200_000}])}
        answer = own.client.post("/v1/references", files={"images": ("two.jpg", photo(2))}, data=data)
        assert answer.status_code == 507 and answer.json()["error"]["code"] == "full"
        assert own.match(("q", photo(1)))[0]["matches"][0]["id"] == "one"
        assert own.client.get("/v1/references").json()["count"] == 1
        assert own.client.get("/v1/references/two").status_code == 404
        (small_disk / "filler").unlink()
        assert own.add(("two.jpg", photo(2)))["items"][0]["status"] == "added"
        assert own.service.references.collection.check() == []


def _free(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_bsize


def test_files_that_may_not_grow_answer_507_and_reads_go_on(tmp_path: Path, bundle: Path) -> None:
    """Like a full disk, on any machine: a limit on the size of files that is set while the service runs."""
    process = Process(tmp_path / "refs.ct", bundle)
    before = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    with httpx.Client(base_url=process.url, timeout=60) as client:

        def add(number: int) -> httpx.Response:
            return client.post("/v1/references", files={"images": (f"R{number}.jpg", photo(number))})

        def found(number: int) -> list[str]:
            answer = client.post("/v1/match?k=1&verify=none", files={"images": ("q", photo(number))})
            return [match["id"] for match in answer.json()["items"][0]["matches"]]

        assert add(1).status_code == 200
        largest = max(file.stat().st_size for file in (tmp_path / "refs.ct").iterdir())
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (largest, before[1]))
        codes = [add(number).status_code for number in range(2, 6)]
        assert codes == [507] * 4 and found(1) == ["R1"]
        assert client.get("/v1/references").json()["count"] == 1
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, before)
        assert add(6).status_code == 200 and found(6) == ["R6"]
    assert process.end(signal.SIGTERM) == 0
    with Collection.open(tmp_path / "refs.ct") as collection:
        assert collection.check() == [] and collection.ids == ["R1", "R6"]


def test_reads_do_not_wait_for_writes(tmp_path: Path, bundle: Path) -> None:
    """While a change holds the collection for long, images are matched and references listed."""
    with running(tmp_path / "refs.ct", bundle=bundle) as own:
        own.add(("one.jpg", photo(1)))
        with own.service.references.collection._guard:
            adding = threading.Thread(target=own.add, args=(("two.jpg", photo(2)),))
            with httpx.Client(base_url=own.url, timeout=60) as client:
                adding.start()
                time.sleep(0.1)
                assert client.get("/v1/references/one").status_code == 200
                assert client.get("/v1/references").json()["count"] == 1
                answer = client.post("/v1/match?verify=none", files={"images": ("q", photo(1))}).json()
                assert [match["id"] for match in answer["items"][0]["matches"]] == ["one"]
        adding.join()
        assert own.client.get("/v1/references").json()["count"] == 2


def test_it_starts_again_with_many_and_answers_the_same(tmp_path: Path, bundle: Path) -> None:
    """Rows loaded by blocks, in the order of ids, are those that were added in any order."""
    rng = np.random.default_rng(0)
    with running(tmp_path / "refs.ct", bundle=bundle) as own:
        rows = rng.normal(size=(3000, own.service.references.index.dimension)).astype(np.float32)
        ids = [f"r{i}" for i in rng.permutation(3000)]
        own.service.references.collection.add(ids, rows)
    with running(tmp_path / "refs.ct", bundle=bundle) as again:
        found = again.service.references.nearest(rows[:50], 1)
        assert [pairs[0][0] for pairs in found] == ids[:50]
