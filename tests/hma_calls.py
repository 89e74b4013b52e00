"""Calls that clients of HMA (Hasher-Matcher-Actioner) make, and what HMA answers: ``hma_answers.json``, by its own code.

``python tests/hma_calls.py`` writes that file; it needs ``OpenMediaMatch`` (the sources of hasher-matcher-actioner/src on the
path), its dependencies, and in HMA_DATABASE_URI a PostgreSQL database that may be emptied.
"""

import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ANSWERS = Path(__file__).parent / "hma_answers.json"
PHOTOS = Path(__file__).parent.parent / "engine" / "photos" / "references"
MADE_BY = "facebook/ThreatExchange baefb4ed67b6cdc1d4c82dbaef858d50866ac424, hasher-matcher-actioner"

Answer = tuple[int, Any]
Call = Callable[..., Answer]
"""method, path, and params, json, data, files (part -> bytes) -> (status, JSON or text)."""


def photo(number: int) -> bytes:
    return (PHOTOS / f"R{number:04d}.jpg").read_bytes()


def all_calls(call: Call, index: Callable[[], None]) -> dict[str, Answer]:
    """Every call with its answer. index: bring what was added into the index, where that does not happen by itself."""
    found: dict[str, Answer] = {}

    def ask(name: str, method: str, path: str, **more: Any) -> Any:
        found[name] = call(method, path, **more)
        return found[name][1]

    ask("status", "GET", "/status")
    _bank_calls(ask)
    signal = ask("hash", "POST", "/h/hash", files={"photo": photo(7)})["copytrace"]
    facts = {"metadata": json.dumps({"content_id": "x", "json": {"a": [1]}}), "note": "seen before"}
    content = ask("add", "POST", "/c/bank/A_BANK/content", files={"photo": photo(7)}, data=facts)["id"]
    plain = ask("add to another", "POST", "/c/bank/OTHER/content", files={"photo": photo(8)})["id"]
    index()
    path = f"/c/bank/A_BANK/content/{content}"
    ask("content", "GET", path)
    ask("content with signals", "GET", path, params={"include_signals": "true", "include_metadata": "false"})
    ask("content without more", "GET", f"/c/bank/OTHER/content/{plain}")
    _match_calls(ask, signal)
    _bad_calls(ask, signal)
    ask("delete", "DELETE", path)
    ask("delete again", "DELETE", path)
    ask("deleted", "GET", path)
    index()
    ask("look up the deleted", "GET", "/m/lookup", params={"signal": signal, "signal_type": "copytrace"})
    ask("look up the deleted raw", "GET", "/m/raw_lookup", params={"signal": signal, "signal_type": "copytrace"})
    return {name: (status, _general(body)) for name, (status, body) in found.items()}


def _bank_calls(ask: Callable[..., Any]) -> None:
    ask("make a bank", "POST", "/c/banks", json={"name": "A_BANK"})
    ask("make another", "POST", "/c/banks", json={"name": "OTHER", "enabled": True})
    ask("make it again", "POST", "/c/banks", json={"name": "A_BANK"})
    ask("make one of a bad name", "POST", "/c/banks", json={"name": "a bank"})
    ask("make one that begins with a digit", "POST", "/c/banks", json={"name": "1_BANK"})
    ask("bank", "GET", "/c/bank/A_BANK")
    ask("no such bank", "GET", "/c/bank/NONE")
    ask("banks", "GET", "/c/banks")


def _match_calls(ask: Callable[..., Any], signal: str) -> None:
    wanted = {"signal": signal, "signal_type": "copytrace"}
    ask("raw", "GET", "/m/raw_lookup", params=wanted)
    ask("raw with distance", "GET", "/m/raw_lookup", params=wanted | {"include_distance": "true"})
    ask("raw in a bank", "GET", "/m/raw_lookup", params=wanted | {"banks": "A_BANK,NONE"})
    ask("raw in another", "GET", "/m/raw_lookup", params=wanted | {"banks": "OTHER"})
    ask("look up", "GET", "/m/lookup", params=wanted)
    ask("look up in a bank", "GET", "/m/lookup", params=wanted | {"banks": "A_BANK", "seed": "a"})
    ask("look up in another", "GET", "/m/lookup", params=wanted | {"banks": "OTHER"})
    ask("look up a file", "POST", "/m/lookup", files={"photo": photo(7)})
    ask("look up a strange file", "POST", "/m/lookup", files={"photo": photo(2)})
    ask("compare", "POST", "/m/compare", json={"copytrace": [signal, signal]})
    ask("index", "GET", "/m/index/status")
    ask("index of a type", "GET", "/m/index/status", params={"signal_type": "copytrace"})


def _bad_calls(ask: Callable[..., Any], signal: str) -> None:
    for number, signals in enumerate(([signal], [], [signal] * 3, "text", ["banana", signal], [signal, signal[:-4]])):
        ask(f"compare badly {number}", "POST", "/m/compare", json={"copytrace": signals})
    ask("compare no table", "POST", "/m/compare", json=[signal])
    ask("compare another type", "POST", "/m/compare", json={"pdq": [signal, signal]})
    ask("index of another type", "GET", "/m/index/status", params={"signal_type": "pdq"})
    for number, bad in enumerate(("a", "banana", signal[:-4], signal + "AAAA", "?" + signal[1:])):
        ask(f"raw of a bad signal {number}", "GET", "/m/raw_lookup", params={"signal": bad, "signal_type": "copytrace"})
    ask("raw of another type", "GET", "/m/raw_lookup", params={"signal": signal, "signal_type": "pdq"})
    ask("look up nothing", "GET", "/m/lookup")
    ask("look up no type", "GET", "/m/lookup", params={"signal": signal})
    for name, data in (("an empty file", b""), ("no image", b"no image")):
        ask(f"hash {name}", "POST", "/h/hash", files={"photo": data})
        ask(f"look up {name}", "POST", "/m/lookup", files={"photo": data})
        ask(f"add {name}", "POST", "/c/bank/A_BANK/content", files={"photo": data})
    ask("hash a video", "POST", "/h/hash", files={"video": photo(1)})
    ask("hash nothing", "POST", "/h/hash")
    ask("hash as another type", "POST", "/h/hash", params={"types": "pdq"}, files={"photo": photo(1)})
    ask("hash as no type", "POST", "/h/hash", params={"types": ","}, files={"photo": photo(1)})
    ask("add to no bank", "POST", "/c/bank/NONE/content", files={"photo": photo(1)})
    for name, facts in (
        ("unknown metadata", {"metadata": '{"colour": 5}'}),
        ("metadata that is no JSON", {"metadata": "{"}),
        ("a long note", {"note": "x" * 256}),
    ):
        ask(f"add with {name}", "POST", "/c/bank/A_BANK/content", files={"photo": photo(1)}, data=facts)
    ask("no such content", "GET", "/c/bank/A_BANK/content/987654")
    ask("content of no bank", "GET", "/c/bank/NONE/content/1")
    ask("delete of no bank", "DELETE", "/c/bank/NONE/content/1")


def _general(value: Any) -> Any:
    """An answer without what differs from run to run: signals, ids, times, and the words of messages."""
    if isinstance(value, dict):
        changes = {"id": 0, "bank_content_id": 0, "built_to": 0, "message": "words"}
        return {key: changes.get(key, _general(item)) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [0 if type(item) is int else _general(item) for item in value]
    return "a signal" if isinstance(value, str) and re.match("Y3Qx.{100}", value) else value


def ask_hma(uri: str, folder: Path) -> dict[str, Answer]:
    """The answers of HMA's own code, with our signal type."""
    config = folder / "omm_config.py"
    config.write_text(
        f"DATABASE_URI = {uri!r}\nPRODUCTION = False\nROLE_HASHER = ROLE_MATCHER = ROLE_CURATOR = True\n"
        "from OpenMediaMatch.storage.postgres.impl import DefaultOMMStore\n"
        "from threatexchange.content_type.photo import PhotoContent\n"
        "from copytrace.engine.threatexchange import CopytraceSignal\n"
        "STORAGE_IFACE_INSTANCE = DefaultOMMStore(\n"
        "    signal_types=[CopytraceSignal], content_types=[PhotoContent], exchange_types=[])\n"
    )
    os.environ["OMM_CONFIG"] = str(config)
    from OpenMediaMatch.app import create_app
    from OpenMediaMatch.background_tasks.build_index import build_all_indices
    from OpenMediaMatch.persistence import get_storage
    from OpenMediaMatch.storage.postgres.flask_utils import reset_tables
    from threatexchange.signal_type.index import SignalTypeIndex

    from copytrace.engine.threatexchange import CopytraceIndex

    SignalTypeIndex.deserialize = CopytraceIndex.deserialize  # type: ignore[method-assign]  # HMA unpickles all others
    app = create_app()
    with app.app_context():
        reset_tables()

    def index() -> None:
        with app.app_context():
            storage = get_storage()
            build_all_indices(storage, storage, storage)

    def call(
        method: str, path: str, *, params: Any = None, files: Any = None, data: Any = None, json: Any = None
    ) -> Answer:
        form = {name: (io.BytesIO(content), "a.jpg") for name, content in (files or {}).items()} | (data or {})
        answer = app.test_client().open(path, method=method, query_string=params, data=form or None, json=json)
        return answer.status_code, answer.get_json() if answer.is_json else answer.get_data(as_text=True)

    return all_calls(call, index)


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as temporary:
        answers = ask_hma(os.environ["HMA_DATABASE_URI"], Path(temporary))
    table = {"made by": MADE_BY, "answers": answers}
    ANSWERS.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    print(f"{ANSWERS}: {len(answers)} answers", file=sys.stderr)
