"""The service under load: ``python -m benchmarks.service --images DIR``. Loopback, ``--threads`` processors, real photographs.

What is measured, and against what: throughput at saturation / that of ``copytrace embed`` on the same images; one request at
rest / the engine's own time from bytes to matches; delays at shares of the peak with an open-loop load; goodput and refusals at
twice the peak; memory. The load generator takes processor time from the service, so CPU seconds are told beside wall time.
"""

import argparse
import tempfile
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import numpy as np

from copytrace.engine import Engine
from copytrace.engine.embedder import Role
from copytrace.engine.search import Index

from .harness import Ratio, machine
from .served import Answers, Generator, Served, generating, matrix, random_collection, write_list

ROOT = Path(__file__).parent.parent
PHOTOS = ROOT.parent / "shared" / "data" / "eval" / "references"
ROUTE = "/v1/match?verify=none&k=10"
WAITING = 128  # images of all clients together at saturation: 64 are computed at a time, and as many wait
SHARES = (0.25, 0.5, 0.75, 0.9, 2.0)
SINGLES = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, default=PHOTOS if PHOTOS.is_dir() else ROOT / "engine/photos/references")
    parser.add_argument("--references", type=int, default=100_000)
    parser.add_argument("--count", type=int, default=1000, help="images of a round of embed")
    parser.add_argument("--size", type=int, default=1, help="images in one request")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of every load")
    parser.add_argument("--long", type=int, default=0, help="also send so many requests, and watch the memory")
    parser.add_argument("--picture", type=Path, help="PNG of the delays")
    options = parser.parse_args()
    print(f"{machine()}; {options.threads} threads, {options.rounds} rounds of {options.seconds:g} s")
    with tempfile.TemporaryDirectory() as folder:
        run(options, Path(folder))


def run(options: argparse.Namespace, folder: Path) -> None:
    engine = Engine(threads=options.threads)
    images = sorted(options.images.glob("*.jpg"))[: options.count]
    listed = write_list(images, folder / "images.txt")
    random_collection(engine, folder / "refs.ct", options.references)
    with (
        Served(folder / "refs.ct", "--threads", str(options.threads)) as served,
        generating(served, ROUTE, listed, options.size) as generator,
    ):
        ratios, peak = throughput(engine, served, generator, listed, len(images), options, folder)
        ratios.append(at_rest(engine, served, images, folder / "refs.ct", options.threads))
        ratios.append(overload(generator, options))
        loads = {share: generator.at(share * peak, options.seconds) for share in SHARES}
        print("\n".join(ratio.line() for ratio in ratios))
        for share, answers in loads.items():
            print(line(share, answers))
        if options.picture:
            draw(loads, peak, options.picture)
        if options.long:
            long_run(served, generator, options.long, options.size)


def throughput(
    engine: Engine,
    served: Served,
    generator: Generator,
    listed: Path,
    count: int,
    options: argparse.Namespace,
    folder: Path,
) -> tuple[list[Ratio], float]:
    """Rounds of embed, by both roles, and of saturation in turn; the ratios, and requests per second at the peak."""
    wall, processor, as_query, rates = [], [], [], []
    for number in range(options.rounds + 1):
        embedded = embed_seconds(engine, listed, folder / f"{number}.h5", "reference") / count
        queries = embed_seconds(engine, listed, folder / f"{number}q.h5", "query") / count
        answers = generator.saturating(max(2, WAITING // options.size), options.seconds)
        if number:  # the first round warms up
            images = len(answers.good) * options.size
            used, client = answers.processor / images, answers.client / images
            rates.append(answers.rate)
            wall.append(answers.rate * options.size * embedded[0])
            processor.append(embedded[1] / (used + client))
            as_query.append(queries[1] / (used + client))
            print(
                f"embed {1 / embedded[0]:.0f} images/s, {1000 * embedded[1]:.2f} CPU ms each, as queries "
                f"{1000 * queries[1]:.2f}; service {answers.rate * options.size:.0f}, {1000 * used:.2f} ms, "
                f"load generator {1000 * client:.2f} ms"
            )
    name = f"/v1/match of {options.size} at saturation, {options.references} references / copytrace embed"
    ratios = [
        Ratio(name, wall, 0.8),
        Ratio(f"{name}, by CPU seconds with the load generator's", processor, 0.8),
        Ratio(f"{name} --role query, by CPU seconds", as_query, 0.8),
    ]
    return ratios, float(np.median(rates))


def embed_seconds(engine: Engine, listed: Path, output: Path, role: Role) -> np.ndarray:
    """Of one run to a file: seconds, and CPU seconds, float64 [2]."""
    begun, used = time.perf_counter(), time.process_time()
    engine.embed_source(listed, output, role=role)
    return np.array([time.perf_counter() - begun, time.process_time() - used])


def at_rest(engine: Engine, served: Served, images: list[Path], collection: Path, threads: int) -> Ratio:
    """The median of single requests / that of the engine from bytes to matches, taken in turn."""
    ids, rows = matrix(collection)
    index = Index(engine.dimension, threads=threads)
    index.add(ids, rows)
    ratios = []
    with closing(HTTPConnection(served.address)) as client:  # httpx alone takes a millisecond and a half a request
        for _ in range(5):
            ours, theirs = [], []
            for image in images[:SINGLES]:
                data = image.read_bytes()
                begun = time.perf_counter()
                index.nearest(engine.embed([data], role="query"), 10)
                middle = time.perf_counter()
                client.request("POST", ROUTE, data, {"content-type": "image/jpeg"})
                answer = client.getresponse()
                found = answer.read()
                theirs.append(middle - begun)
                ours.append(time.perf_counter() - middle)
                if answer.status != 200:
                    raise SystemExit(found.decode())
            ratios.append(float(np.median(ours) / np.median(theirs)))
    return Ratio("one request at rest, p50 / engine from bytes to matches", ratios, 1.5, at_most=True)


def overload(generator: Generator, options: argparse.Namespace) -> Ratio:
    """Goodput at twice the peak / the peak, in turn; how fast the rest is refused is told beside it."""
    shares, seconds, others = [], [], set()
    for _ in range(options.rounds):
        peak = generator.saturating(max(2, WAITING // options.size), options.seconds).rate
        answers = generator.at(2.0 * peak, options.seconds)
        end = float(answers.begun.max())
        ended = answers.begun[answers.status == 200] + answers.good
        done = np.count_nonzero((ended > end / 2) & (ended <= end))  # the queue has filled by then
        shares.append(done / (end / 2) / peak)
        seconds.append(answers.seconds[answers.status == 503])
        others |= set(answers.status.tolist()) - {200, 503}
    refused = 1000 * np.concatenate(seconds)
    print(
        f"at twice the peak: {len(refused)} answered 503, in "
        + (f"{np.median(refused):.1f} ms (p99 {np.percentile(refused, 99):.1f})" if len(refused) else "no time")
        + (f"; others: {sorted(others)}" if others else "")
    )
    return Ratio("goodput at twice the peak / peak", shares, 0.9)


def line(share: float, answers: Answers) -> str:
    p50, p95, p99 = (answers.milliseconds(percentile) for percentile in (50, 95, 99))
    return f"at {share:g} of the peak: p50 {p50:.1f} ms, p95 {p95:.1f}, p99 {p99:.1f}; {answers.rate:.0f} answers/s"


def long_run(served: Served, generator: Generator, requests: int, size: int) -> None:
    """Memory after every tenth of many requests."""
    done, shown = 0, [served.memory()]
    while done < requests:
        part = 0
        while part < requests / 10:
            part += len(generator.saturating(max(2, WAITING // size), 5.0).status)
        done += part
        shown.append(served.memory())
    print(f"memory over {done} requests, MiB: " + ", ".join(f"{value / 2**20:.0f}" for value in shown))


def draw(loads: dict[float, Answers], peak: float, path: Path) -> None:
    """Delays by percentile, one line for each load."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    percentiles = np.concatenate([np.linspace(0, 99, 100), [99.5, 99.9]])
    for share, answers in loads.items():
        if len(answers.good):
            label = f"{share:g} x peak ({share * peak:.0f} requests/s)"
            axes.plot(percentiles, 1000 * np.percentile(answers.good, percentiles), label=label)
    refused = loads[2.0].seconds[loads[2.0].status == 503]
    if len(refused):
        axes.plot(percentiles, 1000 * np.percentile(refused, percentiles), "k:", label="2 x peak: the 503s")
    axes.set(xlabel="percentile of requests", ylabel="milliseconds", yscale="log", title="POST /v1/match?verify=none")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
