"""Which nodes of a network must not be quantised: found by measurement, within a bound on trials.

The bound is a number of trials and no time, so that equal networks and photographs give equal files on any machine.
"""

from collections.abc import Callable, Sequence

RUNS = 16
"""Of neighbouring nodes; one trial each."""
MOST_KEPT = 8
"""Runs that may stay float: a network of which more were float would be no faster than float32."""

Quality = Callable[[frozenset[str]], float]
"""Nodes that stay float -> a cosine to float32; each call is a trial."""
_NO_COSINE = -1.0  # of embeddings that are zero or no numbers


def keep_sensitive(nodes: Sequence[str], quality: Quality, wanted: float) -> tuple[frozenset[str], float]:
    """The nodes that stay float so that quality reaches ``wanted``, and the quality reached.

    nodes: those that can be quantised, in the order in which they are computed. None is kept where all can be quantised.
    Otherwise every run of neighbours is tried alone, and runs are kept by what each gained, the best first, until it is enough
    or half of them are kept. At most 25 trials; where ``wanted`` is out of reach, the best set that was tried is returned.
    """

    def tried(kept: frozenset[str]) -> float:
        found = quality(kept)
        return found if found == found else _NO_COSINE

    best: tuple[frozenset[str], float] = frozenset(), tried(frozenset())
    if best[1] >= wanted:
        return best
    runs = [frozenset(nodes[i * len(nodes) // RUNS : (i + 1) * len(nodes) // RUNS]) for i in range(RUNS)]
    alone = {run: tried(run) for run in runs if run}
    kept: frozenset[str] = frozenset()
    for number, run in enumerate(sorted(alone, key=alone.__getitem__, reverse=True)[:MOST_KEPT]):
        kept |= run
        found = alone[run] if number == 0 else tried(kept)
        best = max(best, (kept, found), key=lambda pair: pair[1])
        if best[1] >= wanted:
            break
    return best
