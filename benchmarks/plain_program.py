"""What a user would write without copytrace: Pillow, torch eager in float32, PCA in numpy, h5py. Written to be fast
in the ordinary ways: batches, inference mode, all threads in torch."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image

from copytrace.engine import Bundle
from copytrace.train.default_model import default_network

BATCH = 16


class PlainProgram:
    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        bundle = Bundle()
        self.network = default_network()
        self.size = bundle.networks("float32")[0].input_size
        self.pca = bundle.projection

    def pixels(self, path: Path) -> np.ndarray:
        image = Image.open(path).convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR)
        return np.asarray(image)

    def embed(self, paths: Sequence[Path]) -> np.ndarray:
        rows = []
        for start in range(0, len(paths), BATCH):
            batch = np.stack([self.pixels(path) for path in paths[start : start + BATCH]])
            with torch.inference_mode():
                raw = self.network(torch.from_numpy(batch)).numpy()
            y = (raw - self.pca.mean) @ self.pca.components.T / np.sqrt(self.pca.eigenvalues)
            rows.append(y / np.linalg.norm(y, axis=1, keepdims=True))
        return np.concatenate(rows)

    def run(self, paths: Sequence[Path], output: Path) -> None:
        rows = self.embed(paths)
        with h5py.File(output, "w") as file:
            file["descriptors"] = rows
            file["ids"] = [path.stem for path in paths]
