"""``manifest.json``, format 2: what a bundle is made of, as one typed model. Unknown keys and values are refused.

::

    format               2
    name                 text
    networks             [{name, role: "descriptor" or "detector", input_size, dimension, batch, layout: "NHWC", colour: "RGB",
                         resize: "stretch", precisions: {"int8": {file, sha256}, "float32": ..., "fp16": ...}}, ...]
    projection           {file, sha256, input_dimension, dimension}      an .npz: mean, components, eigenvalues
    bank                 {file, sha256, rows}                            an .npy: float32 [M, D]
    normalisation        {method, beta: {"1": ..., "2": ...}, cosines, directions}
    score_normalisation  {alpha, n}, or null: none; constants of pairs' scores
    thresholds           {purpose: score}; a pair with at least this score counts as a copy
    matching             {"constants": {file, sha256}, "quantisers": {file, sha256}}, either or none: what is fitted for the
                         second look (a .json) and for local recall (an .npz); what is missing, the default bundle gives
    origin               where weights, projection and bank come from
    quality              measured figures

Several networks with the role "descriptor" make an ensemble: each looks at the picture at its own size, and the raw
embedding is their outputs one behind the other, in this order. One network may have the role "detector": it finds pasted
photographs, and no descriptor depends on it.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

FORMAT = 2
MANIFEST = "manifest.json"

Precision = Literal["int8", "float32", "fp16"]
"""Of a network's arithmetic. fp16 keeps what leaves that range in float32 (see ``copytrace.export.fp16``)."""
NetworkRole = Literal["descriptor", "detector"]
FileName = Annotated[str, Field(pattern=r"^[^./\\:\x00-\x1f\x7f][^/\\:\x00-\x1f\x7f]*$", max_length=200)]
"""A file directly in the bundle's folder."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$", max_length=200)]
"""One line, without what moves a terminal's cursor or turns the direction of writing."""
Size = Annotated[int, Field(ge=1, le=8192)]
Length = Annotated[int, Field(ge=1, le=1_000_000)]
Batch = Annotated[int, Field(ge=1, le=4096)]
Beta = Annotated[float, Field(ge=0, le=1000)]
Betas = Annotated[dict[Literal["1", "2"], Beta], Field(min_length=2)]
"""The constant of each method."""
MatchingFile = Literal["constants", "quantisers"]
Precisions = Annotated[dict[Precision, "FileEntry"], Field(min_length=1)]


class Entry(BaseModel):
    """Any part of a manifest: nothing is converted, nothing unknown accepted, no number infinite."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class FileEntry(Entry):
    file: FileName
    sha256: Digest


class NetworkEntry(Entry):
    """A network in one or several precisions; all take the same pixels and give embeddings of one length."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]
    role: NetworkRole
    input_size: Size
    dimension: Length
    batch: Batch
    layout: Literal["NHWC"]
    colour: Literal["RGB"]
    resize: Literal["stretch"]
    precisions: Precisions


class ProjectionEntry(FileEntry):
    input_dimension: Length
    dimension: Length


class BankEntry(FileEntry):
    rows: Annotated[int, Field(ge=1)]


class NormalisationEntry(Entry):
    """Constants of query normalisation; DESIGN.md section 5."""

    method: Annotated[int, Field(ge=1, le=2)]
    beta: Betas
    cosines: Length
    directions: Length


class ScoreNormalisationEntry(Entry):
    """``s - alpha * mean(s(q, t_1..t_n))``, over the bank's n nearest rows."""

    alpha: Annotated[float, Field(ge=0, le=1000)]
    n: Length


class Manifest(Entry):
    """See the module's own text."""

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    name: Text
    networks: Annotated[list[NetworkEntry], Field(min_length=1, max_length=64)]
    projection: ProjectionEntry
    bank: BankEntry
    normalisation: NormalisationEntry
    score_normalisation: ScoreNormalisationEntry | None = None
    thresholds: dict[Text, float] = Field(default_factory=dict)
    matching: dict[MatchingFile, FileEntry] = Field(default_factory=dict)
    origin: dict[str, JsonValue] = Field(default_factory=dict)
    quality: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def files(self) -> list[FileEntry]:
        """Every file."""
        detector = [] if self.detector is None else self.detector.precisions.values()
        return [*self.descriptor_files, *detector, *self.matching.values()]

    @property
    def descriptor_files(self) -> list[FileEntry]:
        """Those that descriptors depend on."""
        networks = (file for network in self.descriptors for file in network.precisions.values())
        return [*networks, self.projection, self.bank]

    @property
    def descriptors(self) -> list[NetworkEntry]:
        """The networks that descriptors depend on."""
        return [network for network in self.networks if network.role == "descriptor"]

    @property
    def detector(self) -> NetworkEntry | None:
        return next((network for network in self.networks if network.role == "detector"), None)

    @property
    def precisions(self) -> list[Precision]:
        """Those that every descriptor network has."""
        first, *others = (network.precisions for network in self.descriptors)
        return [precision for precision in first if all(precision in other for other in others)]

    @model_validator(mode="after")
    def _parts_fit(self) -> "Manifest":
        names = [network.name for network in self.networks]
        files = [entry.file for entry in self.files]
        for what, values in (("network", names), ("file", files)):
            if twice := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"the {what} {twice[0]!r} is listed twice")
        if MANIFEST in files:
            raise ValueError(f"{MANIFEST} cannot be one of the files")
        if not self.descriptors:
            raise ValueError("none of the networks is a descriptor")
        if len(self.networks) - len(self.descriptors) > 1:
            raise ValueError("more than one of the networks is a detector")
        given = sum(network.dimension for network in self.descriptors)
        if given != self.projection.input_dimension:
            raise ValueError(
                f"the networks give {given} values, the projection takes {self.projection.input_dimension}"
            )
        if not self.precisions:
            raise ValueError("the networks have no precision in common")
        return self
