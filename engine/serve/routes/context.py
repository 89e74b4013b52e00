"""What routes share: the service, the caller, and how bodies with images are described."""

from typing import Annotated, Any

from fastapi import Depends, Request

from ..access import Caller, allow
from ..service import Service


async def service_of(request: Request) -> Service:  # a plain function would be called in another thread every time
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(service_of)]
Reader = Annotated[Caller, Depends(allow("read"))]
Writer = Annotated[Caller, Depends(allow("write"))]
Reviewer = Annotated[Caller, Depends(allow("review"))]
Admin = Annotated[Caller, Depends(allow("admin"))]


def images_body(**fields: str) -> dict[str, Any]:
    """The OpenAPI description of a body with images. fields: other parts it may have, with what they are."""
    properties: dict[str, Any] = {"images": {"type": "array", "items": {"type": "string", "format": "binary"}}}
    properties |= {name: {"type": "string", "description": text} for name, text in fields.items()}
    form = {"schema": {"type": "object", "required": ["images"], "properties": properties}}
    raw = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": form, "image/*": raw}}}
