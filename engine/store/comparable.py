"""Whether the descriptors of two files may be compared: their roles, how far they were taken, and the space they lie in."""

from dataclasses import dataclass

from ..errors import ComparisonError
from .memory import Descriptors

ROLES = ("reference", "query")
MOVED = ("method1", "method2")
OUTPUTS = ("raw", "projected", *MOVED)
KEPT = ("role", "output", "space", "recipe", "bundle")
"""The attributes that are compared; a submission keeps them with each of its halves."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a file says of its descriptors. None where it says nothing, as the files of other writers do."""

    role: str | None
    output: str | None
    space: str | None
    recipe: str | None


def check_comparable(queries: Descriptors, references: Descriptors) -> None:
    """Make sure that distances between the rows of the two files mean what they are taken for.

    References are rows of references, never moved away from the bank; raw goes with raw; the spaces are one (by the hash of
    network and projection; files of older versions go by the hash of the whole bundle). What a file does not say is not asked.
    Raises: ComparisonError.
    """
    q, r = _meaning(queries), _meaning(references)
    if r.role == "query":
        swapped = "; it looks as if the two files were swapped" if q.role == "reference" else ""
        raise ComparisonError(f"{references.path}: holds queries, and is given as references{swapped}")
    if r.output in MOVED:
        raise ComparisonError(
            f"{references.path}: its rows are moved away from the bank ({r.output}), as queries are; references must not be"
        )
    if q.output and r.output and (q.output == "raw") != (r.output == "raw"):
        raise ComparisonError(
            f"not comparable: {queries.path} holds {q.output} rows, {references.path} {r.output} ones"
        )
    for name in ("space", "recipe"):
        first, second = getattr(q, name), getattr(r, name)
        if first and second:
            if first != second:
                what = "different networks or projections" if name == "space" else "different bundles"
                raise ComparisonError(
                    f"made with {what}, not comparable: {queries.path} {first[:12]}, {references.path} {second[:12]}"
                )
            return


def _meaning(file: Descriptors) -> _Meaning:
    role, output, space, recipe, bundle = (_text(file.attributes.get(name)) for name in KEPT)
    ours = space or recipe or bundle
    for name, value, known in (("role", role, ROLES), ("output", output, OUTPUTS)):
        if ours and value and value not in known:
            raise ComparisonError(
                f"{file.path}: its {name} is {value!r}, which this version of copytrace does not know"
            )
    return _Meaning(role if role in ROLES else None, output if output in OUTPUTS else None, space, recipe or bundle)


def _text(value: object) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value if isinstance(value, str) else None
