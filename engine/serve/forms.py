"""What the service answers, as OpenAPI describes it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from ..collection import Decision, Verdict


class ErrorDetail(BaseModel):
    code: str
    message: str


class ErrorAnswer(BaseModel):
    """A whole request that failed."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"error": {"code": "busy", "message": "256 images are waiting; try again"}}}
    )
    error: ErrorDetail


class FoundMatch(BaseModel):
    """A reference that may be what an image is a copy of."""

    id: str
    score: float = Field(description="Higher is more alike; -(squared distance) without a second look.")
    probability: float = Field(description="That the image is a copy of the reference, 0 to 1.")
    verdict: Verdict = Field(description="By the collection's two thresholds for the probability.")
    evidence: dict[str, Any] | None = None


class MatchedImage(BaseModel):
    name: str
    matches: list[FoundMatch]
    error: str | None = None
    damaged: str | None = Field(None, description="What is wrong with an image that could still be decoded.")


class MatchAnswer(BaseModel):
    items: list[MatchedImage]
    bundle: str = Field(description="sha256 of the networks and constants that were used.")
    exact: bool = Field(description="Whether none of the nearest can be missing; an index in Milvus is approximate.")
    timings: dict[str, float] = Field(description="Seconds by stage; stages of a batch count for all in it.")


class AddedImage(BaseModel):
    id: str
    status: Literal["added", "replaced", "unchanged", "error"]
    error: str | None = None
    damaged: str | None = None
    same_as: list[str] = Field(default=[], description="Other references with the same bytes, ten at most.")


class AddAnswer(BaseModel):
    items: list[AddedImage]


class ReferenceAnswer(BaseModel):
    id: str
    sha256: str | None
    size: int | None
    metadata: dict[str, Any]


class ReferencePage(BaseModel):
    items: list[ReferenceAnswer]
    count: int = Field(description="References in all.")
    next: str | None = Field(description="Give it as ``after`` for the next page; null on the last one.")


class MetadataPatch(BaseModel):
    """Keys that are set, or with null taken away; the others stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"metadata": {"owner": "A", "note": None}}})
    metadata: dict[str, JsonValue]


class Ids(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"ids": ["R000001", "R000002"]}})
    ids: list[str] = Field(max_length=10_000)


class DeletedReference(BaseModel):
    id: str
    status: Literal["deleted", "missing"]


class DeleteAnswer(BaseModel):
    items: list[DeletedReference]


class EmbeddedImage(BaseModel):
    name: str
    descriptor: list[float] | None
    error: str | None = None
    damaged: str | None = None


class EmbedAnswer(BaseModel):
    items: list[EmbeddedImage]
    dimension: int
    bundle: str


class ThresholdValues(BaseModel):
    """Probabilities from which on a pair is a match, or is to be reviewed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"match": 0.9, "review": 0.5}})
    match: float = Field(ge=0, le=1)
    review: float = Field(ge=0, le=1)


class ReviewAnswer(BaseModel):
    """A pair that somebody is to decide on, or has."""

    id: int
    created: str = Field(description="UTC, ISO 8601, as all times.")
    query: str = Field(description="sha256 of the image's bytes.")
    name: str = Field(description="What the client called the image.")
    reference: str
    probability: float
    score: float
    evidence: dict[str, Any] | None
    decision: Decision | None
    who: str | None = Field(description="The name of the key that decided.")
    decided: str | None


class ReviewPage(BaseModel):
    items: list[ReviewAnswer]
    waiting: int = Field(description="Pairs in all that nobody has decided on.")
    next: int | None = Field(description="Give it as ``after`` for the next page; null on the last one.")


class NewDecision(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"decision": "accept"}})
    decision: Decision | None = Field(description="null takes a decision back.")
    before: Decision | None = Field(
        None,
        description="Where it is given: what was decided so far; if that is something else now, nothing changes (409).",
    )


class NewJob(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"source": "/data/photos"}})
    kind: Literal["import", "duplicates"] = "import"
    source: str | None = Field(
        None,
        description="Of an import: a folder, tar, Parquet file or list of paths, in one of the folders that jobs may read. "
        "WebDataset's JSON in tars and the other columns of Parquet files become metadata of what is added or replaced.",
    )
    replace: bool = Field(False, description="Of an import: let images take the place of others under the same id.")
    max_distance: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="Of duplicates: Euclidean, between descriptors. Default: 0.65."
    )

    @model_validator(mode="after")
    def _fit_together(self) -> "NewJob":
        if self.kind == "import" and (self.source is None or self.max_distance is not None):
            raise ValueError("an import has a source, and no max_distance")
        if self.kind == "duplicates" and (self.source is not None or self.replace):
            raise ValueError(
                "duplicates are looked for among the references: there is no source and nothing to replace"
            )
        return self


class JobAnswer(BaseModel):
    id: str
    kind: Literal["import", "duplicates"] = "import"
    source: str | None
    replace: bool
    max_distance: float | None = None
    who: str
    created: str
    status: Literal["waiting", "running", "finished", "failed", "cancelled"] = "waiting"
    images: int = Field(default=0, description="In the source, or references.")
    done: int = 0
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    failed: int = 0
    without_metadata: int = Field(
        default=0, description="Added without the metadata that stands beside them in the source, as it cannot be read."
    )
    failures: list[dict[str, str]] = Field(
        default=[], description="The first of those that failed or have no metadata, with reasons."
    )
    pairs: int = Field(default=0, description="Duplicates; the 100,000 nearest are kept.")
    error: str | None = None


class FoundPair(BaseModel):
    first: str
    second: str
    distance: float = Field(description="Euclidean, between the descriptors.")


class DuplicatePage(BaseModel):
    items: list[FoundPair]
    next: int | None = Field(description="Give it as ``after`` for the next page; null on the last one.")


class JobList(BaseModel):
    items: list[JobAnswer]


class TodayAnswer(BaseModel):
    """The numbers of the day (UTC), of images by the verdict on their best match."""

    since: str = Field(description="Midnight, or when the service started.")
    match: int
    review: int
    no_match: int
    errors: int
    added: int
    replaced: int
    deleted: int
    accepted: int = Field(description="Since midnight, as what was rejected.")
    rejected: int
    waiting: int = Field(description="Pairs that wait for a decision.")
    references: int


class Health(BaseModel):
    status: Literal["ok", "ready", "starting", "draining"]
