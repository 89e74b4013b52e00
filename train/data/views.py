"""Views of photographs: as they are, and attacked."""

import cv2
import numpy as np

from copytrace.engine.read import stretch

from ..attacks import CLASSES, Draw, Pixels, attack_chain, attack_class, random_chain, wide
from ..settings import AttackSet
from .photographs import Photographs
from .pictures import LONGEST_SIDE

CHAIN_SHARE = 0.3  # of the views get a random chain, the others one of the classes
_DRAWN = (*CLASSES, "pasted", "chain")  # the hardest twice as often
QUALITIES = (30, 90)  # of the JPEG that every attacked view passes through
ATTACKED_SIDE = 1.6  # the wide set's photographs are no larger on their shorter side, in sides of the view made of them
SAVED_SHARE = 0.8  # of the wide set's views that pass through a JPEG in the end


def clean_view(photographs: Photographs, place: int, size: int) -> tuple[int, Pixels]:
    """(place, pixels [size, size, 3]) of a photograph without attacks, preprocessed as the engine does."""
    place, pixels = photographs.load(place)
    return place, stretch(pixels, size)


def attacked_view(
    photographs: Photographs,
    place: int,
    size: int,
    rng: np.random.Generator,
    intensity: float,
    attacks: AttackSet = "isc2021",
) -> tuple[int, Pixels]:
    """(place, pixels [size, size, 3]) of a photograph after attacks, preprocessed as the engine does; see
    :func:`attacked_picture`.
    """
    place, pixels = attacked_picture(photographs, place, size, rng, intensity, attacks)
    return place, stretch(pixels, size)


def attacked_picture(
    photographs: Photographs,
    place: int,
    size: int,
    rng: np.random.Generator,
    intensity: float,
    attacks: AttackSet = "isc2021",
) -> tuple[int, Pixels]:
    """(place, pixels [H, W, 3]) of a photograph after attacks, saved as JPEG; as large as views of ``size`` need it.

    intensity: the most that may be drawn, 0 to 1. attacks: ``isc2021``, one of the ten classes or a random chain, most
    draws near ``intensity``; ``wide``, the mixture of :mod:`..attacks.wide`, every attack with a strength of its own; ``both``,
    one of the two by a coin. What is laid under or over it are other photographs of the collection.
    """
    place, pixels = photographs.load(place)
    if attacks == "both":
        attacks = "wide" if rng.random() < 0.5 else "isc2021"

    def other() -> Pixels:
        index = int(rng.integers(len(photographs)))
        return photographs.load_once(index if index != place else (index + 1) % len(photographs))[1]

    if attacks == "wide":
        draw = Draw(rng, intensity, lambda: _small(other(), size))
        pixels, _ = wide.attack_class(_small(pixels, size), draw, wide.draw_class(draw))
        pixels = _small(pixels, size)
        if rng.random() < SAVED_SHARE:
            pixels = _through_jpeg(pixels, int(rng.integers(QUALITIES[0], QUALITIES[1] + 1)))
        return place, pixels

    draw = Draw(rng, (1.0 - 0.8 * float(rng.random()) ** 3) * intensity, other)
    if rng.random() < CHAIN_SHARE:
        pixels = attack_chain(pixels, draw, random_chain(draw))
    else:
        pixels, _ = attack_class(pixels, draw, _DRAWN[int(rng.integers(len(_DRAWN)))])
    return place, _through_jpeg(pixels, int(rng.integers(QUALITIES[0], QUALITIES[1] + 1)))


def photograph_views(
    photographs: Photographs,
    place: int,
    views: int,
    size: int,
    seed: int,
    attacks: AttackSet = "isc2021",
) -> Pixels:
    """The photograph itself and ``views - 1`` attacked ones, uint8 [views, size, size, 3]; the same for the same seed."""
    made = [clean_view(photographs, place, size)[1]]
    for view in range(1, views):
        rng = np.random.default_rng([seed, place, view])
        made.append(attacked_view(photographs, place, size, rng, 1.0, attacks)[1])
    return np.stack(made)


def _small(pixels: Pixels, size: int) -> Pixels:
    """A picture as large as a view of ``size`` pixels needs; below twice the view's side the engine stretches fast."""
    height, width = pixels.shape[:2]
    factor = min(ATTACKED_SIDE * size / min(height, width), (2 * size - 1) / max(height, width))
    if factor >= 1.0:
        return pixels
    new = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(pixels, new, interpolation=cv2.INTER_LINEAR if factor > 0.5 else cv2.INTER_AREA)


def _through_jpeg(pixels: Pixels, quality: int) -> Pixels:
    factor = LONGEST_SIDE / max(pixels.shape[:2])
    if factor < 1.0:
        height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
