"""Edits by AugLy 1.0.0: its functions with settings drawn anew for every query."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from .augly_compat import augly_image
from .edit import Chance, Edit, Pixels

_SENTENCES = (
    "when you see it",
    "nobody:\nme:",
    "best day ever",
    "SALE -50%",
    "do not repost",
    "Monday mood",
    "wait for it...",
    "breaking news",
)


def function(name: str, settings: Callable[[Chance], dict]) -> Edit:
    """AugLy's image function of that name; ``settings`` draws its arguments."""

    def edit(pixels: Pixels, chance: Chance) -> Pixels:
        edited = getattr(augly_image(), name)(Image.fromarray(pixels), **settings(chance))
        return np.array(edited.convert("RGB"))

    return edit


@cache
def _assets(pattern: str) -> list[str]:
    """Files of the library's assets, in one order everywhere."""
    augly_image()
    import augly

    return [str(path) for path in sorted((Path(augly.__file__).parent / "assets").glob(pattern))]


def _fonts() -> list[str]:
    """Fonts that come with the list of the letters they have; some letters of the Ostrich family cannot be drawn."""
    fonts = [Path(path) for path in _assets("fonts/*.ttf")]
    return [str(path) for path in fonts if path.with_suffix(".pkl").exists() and not path.stem.startswith("Ostrich")]


def window(low: float, high: float) -> Edit:
    """A crop to a share of the area between ``low`` and ``high``."""

    def settings(chance: Chance) -> dict:
        share, stretch = chance.between(low, high), np.exp(chance.between(-0.35, 0.35))
        width, height = (min(1.0, float(np.sqrt(share) * side)) for side in (stretch, 1 / stretch))
        x, y = chance.between(0, 1 - width), chance.between(0, 1 - height)
        return {"x1": x, "x2": x + width, "y1": y, "y2": y + height}

    return function("crop", settings)


def several(edit: Edit, low: int, high: int) -> Edit:
    """The edit a few times over, each with its own draws."""

    def edited(pixels: Pixels, chance: Chance) -> Pixels:
        for _ in range(chance.whole(low, high)):
            pixels = edit(pixels, chance)
        return pixels

    return edited


def pasted(pixels: Pixels, chance: Chance) -> Pixels:
    """Reduced and laid onto another photograph."""
    side = chance.between(0.3, 0.65)
    place = {"x_pos": chance.between(0, 1 - side), "y_pos": chance.between(0, 1 - side)}
    settings = {"background_image": Image.fromarray(chance.other()), "overlay_size": side, **place}
    return function("overlay_onto_background_image", lambda _: settings)(pixels, chance)


def covered(pixels: Pixels, chance: Chance) -> Pixels:
    """Another photograph laid over a part of it."""
    side = chance.between(0.3, 0.65)
    settings = {
        "overlay": Image.fromarray(chance.other()),
        "overlay_size": side,
        "opacity": chance.between(0.6, 1.0),
        "x_pos": chance.between(0, 1 - side),
        "y_pos": chance.between(0, 1 - side),
    }
    return function("overlay_image", lambda _: settings)(pixels, chance)


def meme(pixels: Pixels, chance: Chance) -> Pixels:
    settings = {
        "text": chance.one_of(_SENTENCES),
        "caption_height": max(24, round(pixels.shape[0] * chance.between(0.15, 0.5))),
        "meme_bg_color": chance.one_of(((255, 255, 255), (0, 0, 0), chance.colour())),
        "text_color": chance.colour(),
    }
    return function("meme_format", lambda _: settings)(pixels, chance)


def masked(pixels: Pixels, chance: Chance) -> Pixels:
    """A part of the picture blurred or made grey, by the library's own mask."""
    augly = augly_image()
    part = chance.one_of((augly.Blur(radius=8.0), augly.Grayscale(), augly.Brightness(factor=2.0)))
    mask = Image.open(_assets("masks/*.png")[0]).resize((pixels.shape[1], pixels.shape[0]))
    return function("masked_composite", lambda _: {"mask": mask, "transform_function": part})(pixels, chance)


def _text(chance: Chance) -> dict:
    letters = chance.rng.integers(2, 90, chance.whole(4, 12)).tolist()
    return {
        "text": letters,
        "font_file": chance.one_of(_fonts()),
        "font_size": chance.between(0.1, 0.3),
        "opacity": chance.between(0.6, 1.0),
        "color": chance.colour(),
        "x_pos": chance.between(0, 0.4),
        "y_pos": chance.between(0, 0.8),
    }


def _emoji(chance: Chance) -> dict:
    return {
        "emoji_path": chance.one_of(_assets("twemojis/*/*.png")),
        "opacity": chance.between(0.7, 1.0),
        "emoji_size": chance.between(0.15, 0.55),
        "x_pos": chance.between(0, 0.7),
        "y_pos": chance.between(0, 0.7),
    }


def _stripes(chance: Chance) -> dict:
    return {
        "line_width": chance.between(0.2, 0.7),
        "line_color": chance.colour(),
        "line_angle": chance.between(-90, 90),
        "line_density": chance.between(0.2, 0.8),
        "line_type": chance.one_of(("solid", "dotted", "dashed")),
        "line_opacity": chance.between(0.5, 1.0),
    }


def _screenshot(chance: Chance) -> dict:
    template = chance.one_of(_assets("screenshot_templates/*.png"))
    return {"template_filepath": template, "crop_src_to_fit": chance.rng.random() < 0.5}


def _padding(chance: Chance) -> dict:
    return {"w_factor": chance.between(0, 0.4), "h_factor": chance.between(0, 0.4), "color": chance.colour()}


CROP = {"crop": window(0.3, 0.8)}
STRONG_CROP = {"strong-crop": window(0.1, 0.3)}
FLIP = {"hflip": function("hflip", lambda _: {}), "vflip": function("vflip", lambda _: {})}
ROTATION = {"rotate": function("rotate", lambda c: {"degrees": c.between(-180, 180)})}
PERSPECTIVE = {
    "perspective_transform": function(
        "perspective_transform", lambda c: {"sigma": c.between(8, 30), "seed": c.whole(0, 2**31 - 1)}
    ),
    "skew": function("skew", lambda c: {"skew_factor": c.between(-0.6, 0.6), "axis": c.whole(0, 1)}),
}
SHAPE = {
    "change_aspect_ratio": function("change_aspect_ratio", lambda c: {"ratio": float(np.exp(c.between(-0.9, 0.9)))}),
    "pad": function("pad", _padding),
    "pad_square": function("pad_square", lambda c: {"color": c.colour()}),
}
TEXT = {"overlay_text": several(function("overlay_text", _text), 1, 4)}
EMOJI = {"overlay_emoji": several(function("overlay_emoji", _emoji), 1, 3)}
STRIPES = {"overlay_stripes": function("overlay_stripes", _stripes)}
PASTED = {"overlay_onto_background_image": pasted}
COVERED = {"overlay_image": covered}
MEME = {"meme_format": meme}
SCREENSHOT = {"overlay_onto_screenshot": function("overlay_onto_screenshot", _screenshot)}
COLOUR = {
    "color_jitter": function(
        "color_jitter",
        lambda c: {f"{name}_factor": c.between(0.3, 2.0) for name in ("brightness", "contrast", "saturation")},
    ),
    "opacity": function("opacity", lambda c: {"level": c.between(0.3, 0.7)}),
}
PIXELS = {
    "pixelization": function("pixelization", lambda c: {"ratio": c.between(0.1, 0.4)}),
    "shuffle_pixels": function(
        "shuffle_pixels", lambda c: {"factor": c.between(0.1, 0.4), "seed": c.whole(0, 2**31 - 1)}
    ),
    "masked_composite": masked,
}
NOISE = {
    "random_noise": function("random_noise", lambda c: {"var": c.between(0.02, 0.1), "seed": c.whole(0, 2**31 - 1)})
}
COMPRESSION = {"encoding_quality": function("encoding_quality", lambda c: {"quality": c.whole(3, 15)})}
BLUR = {"blur": function("blur", lambda c: {"radius": c.between(2, 5)})}
