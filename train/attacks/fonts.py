"""The fonts that attacks write with: matplotlib's own, which are always there, and what the system has.

Which those are decides pictures as the seed does: the same seed gives the same picture where the same fonts are.
"""

from functools import cache
from pathlib import Path
from string import ascii_letters, digits

from PIL import ImageFont

_MOST = 100  # of the system's
_EMOJI_FONT = "NotoColorEmoji.ttf"
_OF_SYMBOLS = ("cmex10.ttf", "cmsy10.ttf")  # under the letters' codes


@cache
def font_files() -> tuple[Path, ...]:
    """Fonts with Latin letters: those that come with matplotlib, then at most a hundred of the system's, by file name."""
    import matplotlib

    own = sorted((Path(matplotlib.get_data_path()) / "fonts" / "ttf").glob("*.ttf"))
    own = [path for path in own if path.name not in _OF_SYMBOLS]
    names = {path.name for path in own}
    system = [path for path in _system_fonts() if path.name not in names]
    return tuple(filter(_writes_latin, [*own, *system[:: 1 + len(system) // _MOST]]))


@cache
def colour_emoji_font() -> Path | None:
    """Noto Color Emoji (SIL Open Font License), where the system has it."""
    return next((path for path in _system_fonts() if path.name == _EMOJI_FONT), None)


@cache
def _system_fonts() -> tuple[Path, ...]:
    from matplotlib.font_manager import findSystemFonts

    return tuple(sorted(map(Path, findSystemFonts()), key=lambda path: (path.name, path)))


def _writes_latin(path: Path) -> bool:
    try:
        font = ImageFont.truetype(path, 16)
        missing, *masks = (bytes(font.getmask(character)) for character in "\uffff" + ascii_letters + digits)
    except OSError:
        return False
    return len(set(masks)) > len(masks) // 2 and all(any(mask) and mask != missing for mask in masks)
