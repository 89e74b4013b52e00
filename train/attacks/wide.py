"""The wide set: nearly a hundred attacks in families, each drawn with a strength of its own, and the mixture for training.

``FAMILIES`` holds every attack with its weight within its family, ``MIXTURE`` how often a view is of which class. All
numbers were chosen by what people do to pictures and by what must not be forgotten, none by any evaluation set.
"""

from bisect import bisect
from dataclasses import replace
from itertools import accumulate

from . import colour, filters, frame, geometry, light, marks, noise, overlay, paste, quality, screens, tone, warp
from .draw import Attack, Draw, Pixels

FAMILIES: dict[str, dict[str, tuple[Attack, float]]] = {
    "colour": {
        "colour-jitter": (colour.colour_jitter, 3),
        "greyscale": (colour.greyscale, 2),
        "opacity": (colour.opacity, 1),
        "invert-channel": (colour.invert_channel, 1),
        "swap-channels": (colour.swap_channels, 1),
        "shift-channels": (colour.shift_channels, 1),
        "solarise": (tone.solarise, 1),
        "posterise": (tone.posterise, 1),
        "gamma": (tone.gamma, 1),
        "negative": (tone.negative, 1),
        "black-and-white": (tone.black_and_white, 1),
        "duotone": (tone.duotone, 1),
        "false-colour": (tone.false_colour, 1),
        "palette": (tone.palette, 1),
        "hue-shift": (tone.hue_shift, 1),
        "saturation": (tone.saturation, 1),
        "colour-cast": (tone.colour_cast, 1.5),
        "channel-mix": (tone.channel_mix, 1),
        "exposure": (tone.exposure, 2),
        "tone-curve": (tone.tone_curve, 1.5),
        "equalise": (tone.equalise, 1),
        "sepia": (tone.sepia, 1),
    },
    "quality": {
        "encoding-quality": (quality.encoding_quality, 2),
        "jpeg-again": (noise.jpeg_again, 1),
        "pixelisation": (quality.pixelisation, 1.5),
        "resample": (filters.resample, 1),
        "blur": (quality.blur, 1.5),
        "motion-blur": (filters.motion_blur, 1),
        "median": (filters.median, 0.5),
        "sharpen": (quality.sharpen, 0.7),
        "unsharp": (filters.unsharp, 0.7),
        "shuffle-pixels": (quality.shuffle_pixels, 0.7),
        "gaussian-noise": (noise.gaussian_noise, 1),
        "film-grain": (noise.film_grain, 1),
        "speckle": (noise.speckle, 0.5),
        "salt-and-pepper": (noise.salt_and_pepper, 1),
        "dither": (noise.dither, 1),
        "scan-lines": (noise.scan_lines, 0.5),
        "glitch": (noise.glitch, 0.5),
    },
    "filter": {
        "cartoon": (filters.cartoon, 1),
        "edges": (filters.edges, 1),
        "pencil": (filters.pencil, 1),
        "emboss": (filters.emboss, 1),
        "glow": (filters.glow, 1),
        "oil": (filters.oil, 1),
    },
    "light": {
        "vignette": (light.vignette, 1.5),
        "fade": (light.fade, 1),
        "light-leak": (light.light_leak, 1.5),
        "haze": (light.haze, 1),
        "rain": (light.rain, 0.7),
        "snow": (light.snow, 0.7),
        "texture": (light.texture, 1),
        "scratches": (light.scratches, 0.7),
    },
    "overlay": {
        "overlay-text": (overlay.overlay_text, 1),
        "lettering": (marks.lettering, 3),
        "caption": (marks.caption, 1),
        "overlay-emoji": (overlay.overlay_emoji, 1),
        "emoji": (marks.emoji, 2),
        "logo": (marks.logo, 2),
        "watermark": (marks.watermark, 1.5),
        "overlay-stripes": (overlay.overlay_stripes, 1),
        "lines": (marks.lines, 1),
        "shapes": (marks.shapes, 1),
        "erase": (marks.erase, 1.5),
        "hide": (marks.hide, 1),
        "blend": (marks.blend, 2),
        "double-exposure": (marks.double_exposure, 1.5),
        "sticker": (marks.sticker, 1),
    },
    "geometry": {
        "scale": (geometry.scale, 1),
        "rotate": (geometry.rotate, 3),
        "perspective": (geometry.perspective, 1.5),
        "horizontal-flip": (geometry.horizontal_flip, 3),
        "vertical-flip": (geometry.vertical_flip, 1),
        "shear": (warp.shear, 1),
        "lens": (warp.lens, 0.7),
        "wave": (warp.wave, 0.5),
        "crumple": (warp.crumple, 0.5),
        "swirl": (warp.swirl, 0.3),
        "aspect": (warp.aspect, 1),
        "shuffle-tiles": (warp.shuffle_tiles, 0.5),
        "mirror-half": (warp.mirror_half, 0.3),
    },
    "crop": {
        "crop": (geometry.crop, 2),
        "strong-crop": (warp.strong_crop, 1),
    },
    "frame": {
        "pad": (geometry.pad, 1),
        "pad-to-square": (geometry.pad_to_square, 1),
        "meme-format": (frame.meme_format, 1.5),
        "overlay-onto-screenshot": (frame.overlay_onto_screenshot, 1),
        "browser": (screens.browser, 1),
        "phone": (screens.phone, 1),
        "chat": (screens.chat, 1),
        "photographed-screen": (screens.photographed_screen, 2),
        "printed": (screens.printed, 1),
    },
    "pasted": {
        "overlay-image": (overlay.overlay_image, 2),
        "paste": (paste.paste, 4),
        "collage": (paste.collage, 2),
        "new-background": (paste.new_background, 2),
        "cut-out": (paste.cut_out, 1),
    },
}

MIXTURE: dict[str, float] = {
    "clean": 0.06,  # saved or scaled again, nothing else
    "colour": 0.10,
    "overlay": 0.12,
    "quality": 0.05,
    "filter": 0.02,
    "light": 0.03,
    "geometry": 0.05,
    "frame": 0.05,
    "pasted": 0.10,
    "strong-crop": 0.08,  # with none, one or two light edits
    "chain": 0.34,  # two to four attacks of different families
}
"""Class of a view -> its share."""

_IN_CHAIN = {
    "colour": 4, "quality": 2, "filter": 0.5, "light": 1, "overlay": 3, "geometry": 3, "crop": 2.5, "frame": 1, "pasted": 1
}  # fmt: skip
_LIGHT_FAMILIES = ("colour", "quality", "light", "overlay")
"""Families whose attacks leave the picture in its place."""

ATTACKS: dict[str, Attack] = {name: entry[0] for family in FAMILIES.values() for name, entry in family.items()}


def _weighted(draw: Draw, weights: dict[str, float], count: int = 1) -> list[str]:
    """``count`` different names, by weight."""
    left, names = dict(weights), []
    for point in draw.rng.random(count):
        sums = list(accumulate(left.values()))
        name = list(left)[bisect(sums, point * sums[-1], hi=len(sums) - 1)]
        names.append(name)
        del left[name]
    return names


def _attack_of(draw: Draw, family: str) -> str:
    return _weighted(draw, {name: weight for name, (_, weight) in FAMILIES[family].items()})[0]


def draw_class(draw: Draw) -> str:
    """A class of ``MIXTURE``."""
    return _weighted(draw, MIXTURE)[0]


def draw_names(draw: Draw, class_name: str) -> list[str]:
    """The attacks of one view of a class, in the order in which they are applied; none for ``clean``."""
    if class_name == "clean":
        return []
    if class_name == "strong-crop":
        families = _weighted(draw, dict.fromkeys(_LIGHT_FAMILIES, 1.0), int(draw.rng.integers(0, 3)))
        return ["strong-crop", *(_attack_of(draw, family) for family in families)]
    if class_name == "chain":
        families = _weighted(draw, _IN_CHAIN, int(draw.rng.integers(2, 5)))
        return [_attack_of(draw, family) for family in families]
    return [_attack_of(draw, class_name)]


def attack_class(image: Pixels, draw: Draw, class_name: str) -> tuple[Pixels, list[str]]:
    """Apply attacks of a class of ``MIXTURE``, each with a strength of its own, at most the draw's; returns picture and names.

    Strengths of several attacks together are drawn evenly; one alone is more often strong than not.
    """
    names = draw_names(draw, class_name)
    if class_name == "clean" and draw.rng.random() < 0.5:
        image = geometry.scale(image, replace(draw, intensity=0.5 * draw.intensity))
    for name in names:
        strength = float(draw.rng.random()) ** (1.0 if len(names) > 1 else 0.5)
        own = replace(draw, intensity=draw.intensity * strength)
        image = ATTACKS[name](image, own)
    return image, names
