"""What a user would write without copytrace: Pillow, ONNX Runtime in float32, PCA in numpy, h5py. Written to be fast in the
ordinary ways: each picture opened once for all networks, batches, all threads in the networks."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import onnxruntime as ort
from PIL import Image

from copytrace.engine import Bundle

BATCH = 16


class PlainProgram:
    def __init__(self, threads: int) -> None:
        bundle = Bundle()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.networks = [
            (file.input_size, ort.InferenceSession(file.path, options, providers=["CPUExecutionProvider"]))
            for file in bundle.networks("float32")
        ]
        self.pca = bundle.projection

    def pixels(self, path: Path) -> list[np.ndarray]:
        """The picture at the size of each network."""
        image = Image.open(path).convert("RGB")
        return [np.asarray(image.resize((size, size), Image.Resampling.BILINEAR)) for size, _ in self.networks]

    def embed(self, paths: Sequence[Path]) -> np.ndarray:
        rows = []
        for start in range(0, len(paths), BATCH):
            batches = zip(*(self.pixels(path) for path in paths[start : start + BATCH]), strict=True)
            raw = [
                network.run(None, {network.get_inputs()[0].name: np.stack(batch)})[0]
                for (_, network), batch in zip(self.networks, batches, strict=True)
            ]
            y = (np.concatenate(raw, axis=1) - self.pca.mean) @ self.pca.components.T / np.sqrt(self.pca.eigenvalues)
            rows.append(y / np.linalg.norm(y, axis=1, keepdims=True))
        return np.concatenate(rows)

    def run(self, paths: Sequence[Path], output: Path) -> None:
        rows = self.embed(paths)
        with h5py.File(output, "w") as file:
            file["descriptors"] = rows
            file["ids"] = [path.stem for path in paths]
