"""``manifest.json``, format 1: one network, and the files' hashes in a table of their own. Converted when it is read."""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, model_validator

from .model import FORMAT, Batch, Digest, Entry, FileName, Length, NormalisationEntry, Precision, Size, Text


class Network1(Entry):
    """One precision of the network."""

    file: FileName
    input_size: Size
    dimension: Length
    batch: Batch
    layout: Literal["NHWC"]
    colour: Literal["RGB"]
    resize: Literal["stretch"]


class Projection1(Entry):
    file: FileName
    input_dimension: Length
    dimension: Length


class Bank1(Entry):
    file: FileName
    rows: Length


class Manifest1(Entry):
    """The whole of it."""

    format: Literal[1]
    name: Text = ""
    networks: Annotated[dict[Precision, Network1], Field(min_length=1)]
    projection: Projection1
    bank: Bank1
    normalisation: NormalisationEntry
    sha256: dict[FileName, Digest]
    origin: dict[str, JsonValue] = Field(default_factory=dict)
    quality: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _parts_fit(self) -> "Manifest1":
        shared = ("input_size", "dimension", "batch")
        if len({tuple(getattr(entry, name) for name in shared) for entry in self.networks.values()}) > 1:
            raise ValueError(f"the precisions of the network differ in {', '.join(shared)}")
        files = {*(entry.file for entry in self.networks.values()), self.projection.file, self.bank.file}
        if missing := sorted(files - self.sha256.keys()):
            raise ValueError(f"no sha256 for {missing[0]!r}")
        if unused := sorted(self.sha256.keys() - files):
            raise ValueError(f"a sha256 for {unused[0]!r}, which is none of the files")
        return self

    def converted(self) -> dict[str, Any]:
        """The same as a manifest of format 2, still to be checked."""
        hashes = {name: {"file": name, "sha256": digest} for name, digest in self.sha256.items()}
        shared = next(iter(self.networks.values())).model_dump(exclude={"file"})
        precisions = {precision: hashes[entry.file] for precision, entry in self.networks.items()}
        return {
            "format": FORMAT,
            "name": self.name,
            "networks": [{"name": "descriptor", "role": "descriptor"} | shared | {"precisions": precisions}],
            "projection": hashes[self.projection.file] | self.projection.model_dump(exclude={"file"}),
            "bank": hashes[self.bank.file] | {"rows": self.bank.rows},
            "normalisation": self.normalisation.model_dump(),
            "origin": self.origin,
            "quality": self.quality,
        }
