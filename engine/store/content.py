"""All that a descriptor file holds, in memory."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Content:
    """ids [N], rows float32 [N, D]; attributes of the file; (id, reason) of images that failed or are damaged."""

    ids: list[str]
    rows: NDArray[np.float32]
    attributes: dict[str, Any] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)
