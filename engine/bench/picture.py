"""A histogram of latencies, as PNG."""

import io

import numpy as np

from .latency import STAGES, Latency

_COLOURS = ("#1f3a5f", "#2a7f62", "#c8553d", "#8a6fb0")
_BEYOND = 99.5
"""The percentile where the axis ends: a few stragglers would press all else into one bar."""


def latency_png(latency: Latency) -> bytes:
    """How many calls took how long, by stage, with the median of each in the legend."""
    from matplotlib.figure import Figure  # half of the engine's import time, and only pictures need it

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    longest = float(np.percentile(latency.milliseconds[STAGES[0]], _BEYOND))
    bins = np.linspace(0, longest, 80).tolist()
    for stage, colour in zip(STAGES, _COLOURS, strict=True):
        label = f"{stage.replace('_', ' ')}, median {latency.percentiles(stage)['p50_ms']:.2f} ms"
        axes.hist(
            np.minimum(latency.milliseconds[stage], longest),
            bins=bins,
            color=colour,
            histtype="step",
            linewidth=1.6,
            label=label,
        )
    axes.set(
        xlabel="milliseconds", ylabel="calls", title=f"one image at a time, {latency.images} images", xlim=(0, None)
    )
    axes.set_yscale("symlog", linthresh=1.0)
    axes.legend()
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
