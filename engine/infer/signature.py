"""What a network takes and gives, and what is refused."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BundleError
from ..manifest import NetworkFile


@dataclass(frozen=True, slots=True)
class Signature:
    """input, output: their names. size: side of the pixels. dimension: length of an embedding."""

    input: str
    output: str
    size: int
    dimension: int

    def agreeing(self, file: NetworkFile) -> "Signature":
        """Itself. Raises: BundleError unless its lengths are those of the manifest."""
        for name, said, found in (
            ("input_size", file.input_size, self.size),
            ("dimension", file.dimension, self.dimension),
        ):
            if said != found:
                raise BundleError(f"{file.path}: its {name} is {found}, the manifest says {said}")
        return self

    def pixels_shape(self, count: int) -> tuple[int, int, int, int]:
        return count, self.size, self.size, 3


def of_session(session: Any, path: Path) -> Signature:
    """Of a session of ONNX Runtime. Raises: BundleError unless it takes pixels and gives embeddings, N free."""
    taken = [(entry.name, entry.type, _free(entry.shape)) for entry in session.get_inputs()]
    given = [(entry.name, entry.type, _free(entry.shape)) for entry in session.get_outputs()]
    return checked(path, taken, given, "tensor(uint8)", "tensor(float)")


def checked(
    path: Path, taken: list[tuple[str, str, list[int]]], given: list[tuple[str, str, list[int]]], byte: str, real: str
) -> Signature:
    """From name, type and shape of what goes in and out; a length of -1 is free. byte, real: how uint8 and float32 are called.

    Raises: BundleError.
    """
    shape = taken[0][2] if len(taken) == 1 else []
    if (
        len(shape) != 4
        or taken[0][1] != byte
        or shape[0] != -1
        or shape[1] < 1
        or shape[1] != shape[2]
        or shape[3] != 3
    ):
        raise BundleError(f"{path} takes {_shown(taken)}, not uint8 pixels [N, S, S, 3] with N free")
    rows = given[0][2] if len(given) == 1 else []
    if len(rows) != 2 or given[0][1] != real or rows[0] != -1 or rows[1] < 1:
        raise BundleError(f"{path} gives {_shown(given)}, not float embeddings [N, E] with N free")
    return Signature(taken[0][0], given[0][0], shape[1], rows[1])


def _free(shape: list[Any]) -> list[int]:
    return [length if isinstance(length, int) else -1 for length in shape]


def _shown(entries: list[tuple[str, str, list[int]]]) -> str:
    return (
        ", ".join(f"{kind} {[length if length != -1 else 'N' for length in shape]}" for _, kind, shape in entries)
        or "nothing"
    )
