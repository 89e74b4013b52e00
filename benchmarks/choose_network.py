"""Input size and GeM power of the default network, chosen on training photographs.

    python -m benchmarks.choose_network SHARD.tar [SHARD.tar ...]

The last shard is held back: its photographs are the references, attacked copies of some and attacked distractors the queries.
Projection and bank are fitted on the others. Prints micro-AP for every size, power and normalisation method.
"""

import argparse
import tarfile
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

from copytrace.engine.describe import reference as describe
from copytrace.engine.read import stretch
from copytrace.engine.score.metric import evaluate
from copytrace.engine.score.tables import GroundTruth, ScoredPairs
from copytrace.export.onnx import export_onnx, run_onnx
from copytrace.train.attacks import CLASSES, Draw, attack_class
from copytrace.train.model import DescriptorNetwork, GeM, imagenet_lite0
from copytrace.train.projection import fit_pca

REFERENCES, COPIES, DISTRACTORS = 2000, 1000, 1000


class Powers(torch.nn.Module):
    """GeM pooling with several powers side by side."""

    def __init__(self, powers: list[float]) -> None:
        super().__init__()
        self.pools = torch.nn.ModuleList(GeM(p) for p in powers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([pool(x) for pool in self.pools], dim=1)


def photos(shard: Path, limit: int) -> list[np.ndarray]:
    with tarfile.open(shard) as archive:
        members = [member for member in archive if member.isfile()][:limit]
        files = (archive.extractfile(member) for member in members)
        return [cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR_RGB) for file in files if file]


def validation_set(pool: list[np.ndarray], seed: int) -> tuple[list[np.ndarray], list[np.ndarray], GroundTruth]:
    """References, attacked queries (copies, then distractors), and which is whose."""
    rng = np.random.default_rng(seed)
    references, others = pool[:REFERENCES], pool[REFERENCES:]
    sources = references[:COPIES] + others[:DISTRACTORS]
    queries = []
    for i, image in enumerate(sources):
        draw = Draw(rng, float(rng.uniform(0.2, 1.0)), lambda: others[int(rng.integers(DISTRACTORS, len(others)))])
        queries.append(attack_class(image, draw, CLASSES[i % len(CLASSES)])[0])
    truth = GroundTruth.of([(f"q{i}", f"r{i}" if i < COPIES else "") for i in range(len(queries))])
    return references, queries, truth


def micro_ap(queries: np.ndarray, references: np.ndarray, truth: GroundTruth) -> float:
    distances = (queries**2).sum(1)[:, None] + (references**2).sum(1) - 2 * queries @ references.T
    best = np.argpartition(distances, 20, axis=1)[:, :20]
    rows = np.repeat(np.arange(len(queries)), 20)
    pairs = ScoredPairs(
        [f"q{i}" for i in rows], [f"r{i}" for i in best.ravel()], -distances[rows, best.ravel()].astype(np.float64)
    )
    return evaluate(pairs, truth).micro_ap


def embed(network: torch.nn.Module, size: int, images: list[np.ndarray]) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export_onnx(network, size, path)
        return np.concatenate(
            [
                run_onnx(path, np.stack([stretch(x, size) for x in images[i : i + 512]]))
                for i in range(0, len(images), 512)
            ]
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", nargs="+", type=Path)
    parser.add_argument("--sizes", nargs="+", type=int, default=[160, 192, 224, 256])
    parser.add_argument("--powers", nargs="+", type=float, default=[1.0, 2.0, 3.0, 4.0, 5.0])
    parser.add_argument("--photos", type=int, default=6000, help="photographs for projection and bank")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    base = imagenet_lite0()
    train = [image for shard in args.shards[:-1] for image in photos(shard, args.photos // (len(args.shards) - 1))]
    references, queries, truth = validation_set(photos(args.shards[-1], 10_000), args.seed)
    print("size power   raw projected method1 method2")
    for size in args.sizes:
        network = DescriptorNetwork(base.backbone, Powers(args.powers), base.scale).eval()
        features = [embed(network, size, images) for images in (train, references, queries)]
        for i, power in enumerate(args.powers):
            width = features[0].shape[1] // len(args.powers)
            t, r, q = (f[:, i * width : (i + 1) * width] for f in features)
            pca = fit_pca(t, 256)
            bank, r2, q2 = (describe.project(x, *pca) for x in (t[:4000], r, q))
            scores = [micro_ap(q, r, truth), micro_ap(q2, r2, truth)]
            for method, beta in ((1, 2.0), (2, 1.8)):
                scores.append(micro_ap(describe.normalise(q2, bank, method=method, beta=beta), r2, truth))
            print(f"{size:4d} {power:5.1f} " + " ".join(f"{score:8.4f}" for score in scores), flush=True)


if __name__ == "__main__":
    main()
