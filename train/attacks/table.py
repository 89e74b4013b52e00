"""All attacks by the names of the paper's table, the three of its own at the end."""

from . import colour, frame, geometry, overlay, quality
from .draw import Attack

ATTACKS: dict[str, Attack] = {
    "scale": geometry.scale,
    "rotate": geometry.rotate,
    "perspective": geometry.perspective,
    "encoding-quality": quality.encoding_quality,
    "colour-jitter": colour.colour_jitter,
    "greyscale": colour.greyscale,
    "opacity": colour.opacity,
    "crop": geometry.crop,
    "pad": geometry.pad,
    "pad-to-square": geometry.pad_to_square,
    "meme-format": frame.meme_format,
    "overlay-onto-screenshot": frame.overlay_onto_screenshot,
    "pixelisation": quality.pixelisation,
    "overlay-image": overlay.overlay_image,
    "blur": quality.blur,
    "sharpen": quality.sharpen,
    "shuffle-pixels": quality.shuffle_pixels,
    "overlay-stripes": overlay.overlay_stripes,
    "overlay-emoji": overlay.overlay_emoji,
    "overlay-text": overlay.overlay_text,
    "vertical-flip": geometry.vertical_flip,
    "horizontal-flip": geometry.horizontal_flip,
    "invert-channel": colour.invert_channel,
    "swap-channels": colour.swap_channels,
    "shift-channels": colour.shift_channels,
}
