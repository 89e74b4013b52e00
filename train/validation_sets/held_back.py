"""Which photographs the validation sets may use, and training may not: a fixed rule on the id alone."""

import hashlib

SHARES = {"wide": 0.13, "odd": 0.04}
"""Kind of set -> the share of all photographs that belongs to it."""


def held_back_for(image_id: str) -> str | None:
    """The kind of set the photograph belongs to, ``wide`` or ``odd``, or None: free for training.

    The first eight bytes of the id's sha256, as a fraction of 2^64, decide; so nothing depends on the other photographs.
    """
    fraction = int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "big") / 2**64
    for kind, share in SHARES.items():
        if fraction < share:
            return kind
        fraction -= share
    return None
