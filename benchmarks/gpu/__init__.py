"""What a graphics card makes of it, against its own ceilings and against torch: ``python -m benchmarks.gpu``."""
