"""Networks to ONNX and int8, with parity checks, and the writer of bundles. Needs the extra ``export``."""
