"""Is every precision and runtime of a bundle the model that was trained? Measured on photographs, and by the metric."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import Bundle, CopytraceError, Engine, score_pairs, search
from copytrace.engine.device import card, problem
from copytrace.engine.infer import Device, Network, open_network
from copytrace.engine.manifest import NetworkFile, Precision

from .parity import Parity
from .photographs import PhotographSample

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""uint8 [N, S, S, 3] -> float32 [N, E]."""
OpenNetwork = Callable[[NetworkFile], Network]


@dataclass(frozen=True)
class TrainedNetwork:
    """A network as it was trained, by torch. name: for messages."""

    name: str
    input_size: int
    dimension: int
    embed: Embed


@dataclass(frozen=True)
class Limits:
    """What parity has to hold. cosine: the smallest, of float32 and fp16. int8_cosine: the mean, of int8. loss: of micro-AP to
    float32, of any."""

    cosine: float = 0.9999
    int8_cosine: float = 0.97
    loss: float = 0.02


@dataclass(frozen=True)
class Compared:
    """A network in one precision and runtime against ``to``: torch where a checkpoint was given, else ONNX float32."""

    network: str
    runtime: str
    precision: Precision
    to: str
    parity: Parity


@dataclass
class Verification:
    """What was measured, and what is wrong with it, a line each; none: passed. micro_ap: by precision, where measured."""

    compared: list[Compared] = field(default_factory=list)
    micro_ap: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        rows = [vars(row) | {"parity": row.parity.to_dict()} for row in self.compared]
        return {"passed": not self.wrong, "compared": rows, "micro_ap": self.micro_ap, "wrong": self.wrong}


def runtimes_on(device: Device) -> dict[str, OpenNetwork]:
    """What computes networks: ONNX Runtime on the processor, and on a card it and TensorRT, each where it is there.

    device: "auto" leaves out what cannot be used, "cuda" refuses without a card. Raises: DeviceError,
    MissingExtraError.
    """
    found: dict[str, OpenNetwork] = {"onnxruntime": on_cpu}
    if device == "cpu" or (device == "auto" and problem() is not None):
        return found
    card()
    return found | {
        "onnxruntime on the card": lambda file: open_network(file, "cuda", runtime="onnxruntime"),
        "tensorrt": lambda file: open_network(file, "cuda", runtime="tensorrt"),
    }


def on_cpu(file: NetworkFile) -> Network:
    """ONNX Runtime on the processor."""
    return open_network(file, "cpu")


def verify(
    bundle: Bundle,
    images: Sequence[Path],
    count: int,
    *,
    trained: Sequence[TrainedNetwork] = (),
    labelled: Path | None = None,
    limits: Limits = Limits(),
    runtimes: Mapping[str, OpenNetwork] | None = None,
) -> Verification:
    """Compare all descriptor networks of a bundle in all their precisions on at most ``count`` of the photographs.

    trained: none, or one for every descriptor network, in their order. labelled: a folder with references/, queries/ and
    truth.csv, to measure the micro-AP of every precision on. runtimes: by name; the processor's by default.
    Raises: CopytraceError where networks and checkpoints do not belong together; SourceError, BadImageError, ScoreError.
    """
    entries = bundle.manifest.descriptors
    if trained and len(trained) != len(entries):
        raise CopytraceError(
            f"{bundle.path}: has {len(entries)} descriptor networks; {len(trained)} checkpoints are given"
        )
    for entry, network in zip(entries, trained, strict=False):
        if (entry.input_size, entry.dimension) != (network.input_size, network.dimension):
            raise CopytraceError(
                f"{network.name}: {network.input_size} pixels to {network.dimension} values is not the network {entry.name} "
                f"of {bundle.path}, which has {entry.input_size} and {entry.dimension}"
            )
    sample = PhotographSample(images, count, sorted({entry.input_size for entry in entries}, reverse=True))
    result = Verification()
    for number in range(len(entries)):
        own = trained[number] if trained else None
        result.compared += _compare(bundle, number, own, sample, runtimes or {"onnxruntime": on_cpu})
    if labelled is not None:
        result.micro_ap = {precision: _micro_ap(bundle, precision, labelled) for precision in bundle.precisions}
    result.wrong = [*_broken(result.compared, limits), *_lost(result.micro_ap, limits)]
    return result


def _compare(
    bundle: Bundle,
    number: int,
    trained: TrainedNetwork | None,
    sample: PhotographSample,
    runtimes: Mapping[str, OpenNetwork],
) -> Iterator[Compared]:
    entry = bundle.manifest.descriptors[number]
    pixels = sample.at(entry.input_size)
    files = {name: NetworkFile(bundle.path / file.file, entry, name) for name, file in entry.precisions.items()}
    if trained is None and "float32" not in files:
        raise CopytraceError(
            f"{bundle.path}: the network {entry.name} has no float32 file; give the checkpoint it is of"
        )
    to = "onnx float32" if trained is None else "torch float32"
    expected = on_cpu(files["float32"])(pixels) if trained is None else trained.embed(pixels)
    for runtime, open_with in runtimes.items():
        for precision, file in files.items():
            if trained is None and precision == "float32" and open_with is on_cpu:
                continue  # itself
            if precision == "int8" and open_with is not on_cpu:
                continue  # made for processors; see int8
            yield Compared(entry.name, runtime, precision, to, Parity.of(expected, open_with(file)(pixels)))


def _micro_ap(bundle: Bundle, precision: Precision, labelled: Path) -> float:
    """Of the descriptors, searched as the bundle says."""
    engine = Engine(bundle.path, precision=precision, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        queries, references = Path(folder) / "queries.h5", Path(folder) / "references.h5"
        engine.embed_source(labelled / "references", references)
        engine.embed_source(labelled / "queries", queries, role="query")
        found = search(queries, references, bundle=bundle)
        return score_pairs(found, labelled / "truth.csv").evaluation.micro_ap


def _broken(compared: Sequence[Compared], limits: Limits) -> Iterator[str]:
    for row in compared:
        mean = row.precision == "int8"
        found, least = (row.parity.mean, limits.int8_cosine) if mean else (row.parity.minimum, limits.cosine)
        if not found >= least:  # not a number neither
            what = (
                f"{row.network}, {row.runtime} {row.precision}: the {'mean' if mean else 'smallest'} cosine to {row.to}"
            )
            yield f"{what} is {found:.6f}, at least {least:g} is required"


def _lost(micro_ap: Mapping[str, float], limits: Limits) -> Iterator[str]:
    whole = micro_ap.get("float32")
    for precision, found in micro_ap.items():
        if whole is not None and whole - found > limits.loss:
            yield f"{precision}: micro-AP {found:.4f} is {whole - found:.4f} below float32, at most {limits.loss:g} is allowed"
