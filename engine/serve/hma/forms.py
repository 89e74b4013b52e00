"""What HMA's routes take and answer."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Message(BaseModel):
    """A request that failed, and why."""

    message: str


class ContentMatch(BaseModel):
    bank_content_id: int
    distance: str = Field(description="Euclidean distance of the descriptors.")


class RawMatches(BaseModel):
    matches: list[int] | list[ContentMatch]


class IndexStatus(BaseModel):
    present: bool
    built_to: int = Field(description="Seconds since 1970 up to which changes are found; -1 while it is loaded.")
    size: int


class Bank(BaseModel):
    name: str
    matching_enabled_ratio: float = Field(default=1.0, description="Always 1: every bank is matched in full.")


class NewBank(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "MY_BANK"}})
    name: str
    enabled_ratio: float | None = None
    enabled: bool | None = None


class ContentMetadata(BaseModel):
    """What a client keeps with a content."""

    model_config = ConfigDict(extra="forbid")
    content_id: str | None = None
    content_uri: str | None = None
    json_data: dict[str, Any] | None = Field(None, alias="json")


class AddedContent(BaseModel):
    id: int
    signals: dict[str, str]


class Content(BaseModel):
    id: int
    disable_until_ts: int = Field(default=1, description="Always 1: enabled.")
    original_media_uri: str | None = None
    bank: Bank
    signals: dict[str, str] | None = None
    metadata: dict[str, Any] | None = None
    note: str | None = None


class Deleted(BaseModel):
    deleted: int


Two = Annotated[list[str], Field(min_length=2, max_length=2)]
Comparison = tuple[bool, dict[str, float]]
