"""Whole programs, from JPEG files to rows on disk: ours, the same networks in a plain program, and other projects' ways.

Each is made for a number of threads and then called with a list of files in one folder and a folder to write to.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np

from copytrace.engine import Bundle, Engine

from .models import MODELS, Model

BATCH = 16
Program = Callable[[Sequence[Path], Path], np.ndarray]
"""JPEG files in one folder, a folder to write to -> rows [N, D]."""


def ours(precision: str) -> Callable[[int], Program]:
    def make(threads: int) -> Program:
        engine = Engine(precision=precision, threads=threads)

        def run(paths: Sequence[Path], folder: Path) -> np.ndarray:
            (output := folder / "ours.h5").unlink(missing_ok=True)
            engine.embed_source(paths[0].parent, output)
            with h5py.File(output) as file:
                return file["descriptors"][:]

        return run

    return make


def plain(model: str, batch: int = BATCH) -> Callable[[int], Program]:
    """Pillow, a runtime, PCA in numpy, h5py: read, compute, write, one batch after the other."""

    def make(threads: int) -> Program:
        bundle = Bundle()
        sizes = [file.input_size for file in bundle.networks("float32")]
        network: Model = MODELS[model](threads)

        def run(paths: Sequence[Path], folder: Path) -> np.ndarray:
            raw = []
            for start in range(0, len(paths), batch):
                pictures = [_pixels(path, sizes) for path in paths[start : start + batch]]
                raw.append(network([np.stack(one) for one in zip(*pictures, strict=True)]))
            pca = bundle.projection
            rows = (np.concatenate(raw) - pca.mean) @ pca.components.T / np.sqrt(pca.eigenvalues)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            with h5py.File(folder / "plain.h5", "w") as file:
                file["descriptors"], file["ids"] = rows, [path.stem for path in paths]
            return np.asarray(rows)

        return run

    return make


def _pixels(path: Path, sizes: Sequence[int]) -> list[np.ndarray]:
    from PIL import Image

    image = Image.open(path).convert("RGB")
    return [np.asarray(image.resize((size, size), Image.Resampling.BILINEAR)) for size in sizes]


def pdq(threads: int) -> Program:
    """Facebook's hash of 256 bits: OpenCV decodes, ``pdqhash`` computes; files are shared out among threads."""
    import cv2
    import pdqhash

    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(threads)

    def one(path: Path) -> np.ndarray:
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        return np.asarray(pdqhash.compute(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))[0])

    def run(paths: Sequence[Path], folder: Path) -> np.ndarray:
        rows = np.stack(list(pool.map(one, paths)))
        np.save(folder / "pdq.npy", rows)
        return rows

    return run


def imagededup(threads: int) -> Program:
    """imagededup's ``CNN().encode_images``, MobileNetV3 small; random weights, as none can be downloaded: the same work."""
    _torch(threads)
    from imagededup.methods import CNN
    from imagededup.utils import models

    trained = models.models.mobilenet_v3_small
    models.models.mobilenet_v3_small = lambda weights: trained(weights=None)
    try:
        encoder = CNN(verbose=False)
    finally:
        models.models.mobilenet_v3_small = trained
    encoder.model.eval()

    def run(paths: Sequence[Path], folder: Path) -> np.ndarray:
        rows = np.stack(list(encoder.encode_images(paths[0].parent).values()))
        np.save(folder / "imagededup.npy", rows)
        return rows

    return run


def clip_retrieval(threads: int) -> Program:
    """clip-retrieval's runner, reader, mapper and writer, ViT-B/32 in batches of 64; random weights, as above."""
    torch = _torch(threads)
    import open_clip
    from clip_retrieval.clip_inference import mapper, reader, runner, writer

    network, _, prepare = open_clip.create_model_and_transforms("ViT-B-32", pretrained=None)
    network.eval()
    mapper.load_clip = lambda **settings: (network, prepare, None)  # theirs downloads the weights
    torch.manual_seed(0)

    def run(paths: Sequence[Path], folder: Path) -> np.ndarray:
        class Silent:
            def __call__(self, figures: object) -> None: ...
            def start(self) -> None: ...
            def end(self) -> None: ...

        runner.Runner(
            lambda sampler: reader.FilesReader(sampler, prepare, None, str(paths[0].parent), 64, 0, enable_text=False),
            lambda: mapper.ClipMapper(True, False, False, False, "ViT-B/32", False, None),
            lambda part: writer.NumpyWriter(part, str(folder / "clip"), False, True, False, 1),
            lambda part: Silent(),
            1,
        )(0)
        return np.load(folder / "clip" / "img_emb" / "img_emb_0.npy")

    return run


def _torch(threads: int) -> ModuleType:
    """torch with that many threads, and torchvision importable beside a build without CUDA."""
    import torch

    from copytrace.train.models.torchvision_compat import declare_missing_operators

    declare_missing_operators()
    torch.set_num_threads(threads)
    return torch


PROGRAMS: dict[str, Callable[[int], Program]] = {
    "copytrace int8": ours("int8"),
    "copytrace float32": ours("float32"),
    "plain torch": plain("torch eager"),
    "plain torch.compile": plain("torch.compile"),
    "plain ONNX Runtime float32": plain("ONNX Runtime float32"),
    "ONNX Runtime int8, one by one": plain("ONNX Runtime int8", 1),
    "plain OpenVINO int8": plain("OpenVINO int8"),
    "PDQ": pdq,
    "imagededup CNN": imagededup,
    "clip-retrieval": clip_retrieval,
}
