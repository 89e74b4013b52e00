"""Extraction of local features against OpenCV's, and verification of pairs against its matcher and RANSAC."""

import time
from pathlib import Path

import cv2
import numpy as np

from copytrace.engine import _match
from copytrace.engine.match.features import REFERENCE_FEATURES, LocalFeatures, extract
from copytrace.engine.match.grey import Grey, small_grey
from copytrace.engine.match.keypoints import places
from copytrace.engine.match.variants import Variant, descriptors
from copytrace.engine.match.verify import Verifier

from .harness import Ratio, interleave, ratio

PHOTOGRAPHS, CANDIDATES = 30, 10
RATIO, PIXELS, FEWEST = 0.85, 5.0, 5


def run(images: Path, threads: int, rounds: int) -> list[Ratio]:
    """Every photograph, cropped and turned, against itself and nine others: all candidates of a query in one call."""
    pictures = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in sorted(images.glob("*.jpg"))]
    references = [extract(pixels, REFERENCE_FEATURES) for pixels in pictures[:PHOTOGRAPHS]]
    queries = [extract(edited(pixels)) for pixels in pictures[:PHOTOGRAPHS]]
    batches = [[references[(i + k) % len(references)] for k in range(CANDIDATES)] for i in range(len(queries))]

    def native() -> list[list[int]]:
        return [
            [found.inliers for found in Verifier(query).verify_many(batch, threads=threads)]
            for query, batch in zip(queries, batches, strict=True)
        ]

    def by_opencv(variants: tuple[Variant, ...]) -> list[list[int]]:
        cv2.setNumThreads(threads)
        counts = [
            [max(opencv_pair(query, one, variant) for variant in variants) for one in batch]
            for query, batch in zip(queries, batches, strict=True)
        ]
        cv2.setNumThreads(1)
        return counts

    for name, counts in (("native", native()), ("OpenCV", by_opencv(tuple(Variant)))):
        right = np.mean([row[0] >= FEWEST for row in counts])
        assert right > 0.9, f"{name} finds {right:.2f} of the copies"
    times = interleave(
        {
            "four": lambda: by_opencv(tuple(Variant)),
            "one": lambda: by_opencv((Variant.AS_IS,)),
            "native": native,
        },
        rounds,
    )
    pairs = len(queries) * CANDIDATES
    greys = [small_grey(pixels)[0] for pixels in pictures[: 3 * PHOTOGRAPHS]]
    start = time.process_time()
    native()
    cost = time.process_time() - start
    print(
        f"verification of a pair, four variants, query prepared with it: {1000 * times['native'].median / pairs:.3f} ms, "
        f"{1000 * cost / pairs:.3f} of processor time"
    )
    return [
        extraction(greys, rounds),
        ratio(
            "native verification / knnMatch + estimateAffinePartial2D, four variants each",
            times["four"],
            times["native"],
            8.0,
        ),
        ratio("native verification, four variants / OpenCV's with one", times["one"], times["native"], 1.0),
    ]


def extraction(greys: list[Grey], rounds: int) -> Ratio:
    """One thread each; the places that both find are the gate."""
    cv2.setNumThreads(1)
    sift = cv2.SIFT.create(nfeatures=REFERENCE_FEATURES, contrastThreshold=0.01)

    def by_opencv() -> list[np.ndarray]:
        found = [sift.detectAndCompute(grey, None)[0] for grey in greys]
        return [np.array([point.pt for point in points]).reshape(-1, 2) for points in found]

    def native() -> list[np.ndarray]:
        return [_match.sift(grey, REFERENCE_FEATURES)[0][:, :2] for grey in greys]

    near = [
        np.hypot(*(a[:, None] - b[None]).transpose(2, 0, 1)).min(axis=1, initial=99.0) < 1.0
        for a, b in zip(by_opencv(), native(), strict=True)
    ]
    assert np.concatenate(near).mean() > 0.9, "OpenCV finds other places"
    times = interleave({"opencv": by_opencv, "native": native}, rounds)
    print(f"extraction: {1000 * times['native'].median / len(greys):.2f} ms a picture")
    return ratio("native extraction of local features / OpenCV's, one thread", times["opencv"], times["native"], 3.0)


def edited(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 10, 1.2)
    return cv2.warpAffine(pixels, matrix, (width, height))


def opencv_pair(query: LocalFeatures, reference: LocalFeatures, variant: Variant) -> int:
    """Inliers of a similarity from the matches that pass the ratio test."""
    if len(query) < 2 or len(reference) < 2:
        return 0
    left, right = descriptors(query.descriptors, variant).astype(np.float32), reference.descriptors.astype(np.float32)
    found = cv2.BFMatcher(cv2.NORM_L2).knnMatch(left, right, k=2)
    good = [first for first, second in found if first.distance < RATIO * second.distance]
    if len(good) < 3:
        return 0
    points, targets = places(query.keypoints), places(reference.keypoints)
    points[:, 0] *= -1.0 if variant.mirrored else 1.0
    source, target = points[[m.queryIdx for m in good]], targets[[m.trainIdx for m in good]]
    inside = cv2.estimateAffinePartial2D(source, target, ransacReprojThreshold=PIXELS)[1]
    return 0 if inside is None else int(inside.sum())
