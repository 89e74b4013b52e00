"""The folder of a run, and what it says the run was begun with."""

import json
from pathlib import Path

from copytrace.engine import CopytraceError, ResumeError, StoreError
from copytrace.engine.store.atomic import reason, replacing

from ..data.labelled_pairs import LabelledPairs
from ..data.photographs import Photographs
from ..settings import Settings

RUN = "run.json"


def claim(folder: Path, settings: Settings, photos: Photographs, resume: bool) -> None:
    """Make the folder of a run, or recognise it as this run's.

    Raises: StoreError when it is there and not to be resumed; ResumeError when it was begun with something else.
    """
    path, mine = folder / RUN, {"settings": settings.to_dict(), "photographs": photos.fingerprint()}
    if settings.pairs:
        mine["labelled"] = LabelledPairs(Path(settings.pairs)).fingerprint()
    if path.exists():
        theirs = json.loads(path.read_text(encoding="utf-8"))
        begun = Settings.from_dict(theirs["settings"]).to_dict()
        changed = [key for key, value in mine["settings"].items() if begun[key] != value]
        changed += [name for name in ("photographs", "labelled") if theirs.get(name) != mine.get(name)]
        if not resume:
            raise StoreError(f"{folder}: holds a run already; --resume goes on with it, or give another folder")
        if changed:
            raise ResumeError(
                f"{folder}: was begun with other settings ({', '.join(changed)}); use those, or another folder"
            )
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise StoreError(f"{folder}: is not empty; give a new folder")
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made: {reason(error)}") from error
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(mine, indent=2) + "\n", encoding="utf-8")


def settings_of(folder: Path) -> Settings:
    """A run's. Raises: CopytraceError when there is none."""
    try:
        return Settings.from_dict(json.loads((folder / RUN).read_text(encoding="utf-8"))["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CopytraceError(f"{folder}: holds no run: {error}") from None
