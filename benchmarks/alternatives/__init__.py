"""copytrace beside what would be used in its place; ``python -m benchmarks.alternatives``."""
