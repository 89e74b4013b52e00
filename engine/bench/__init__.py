"""Measures this installation on this machine: what ``copytrace bench`` prints. Joins stages, as the pipeline does."""

from .cold import ColdStart, measure_cold, medians
from .latency import Latency, measure_latency
from .machine import machine_record, machine_text
from .picture import latency_png
from .throughput import Throughput, measure_throughput

__all__ = [
    "ColdStart",
    "Latency",
    "Throughput",
    "latency_png",
    "machine_record",
    "machine_text",
    "measure_cold",
    "measure_latency",
    "measure_throughput",
    "medians",
]
