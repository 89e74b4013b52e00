"""The command line, run within this process: starting one takes longer than most of what tests ask of it."""

import io
import signal
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout

import pytest

from copytrace.engine.cli import main


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """``copytrace`` with these arguments, which must end with ``code``; what it printed."""
    output, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    returned: object = 0
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(sys, "argv", ["copytrace", *map(str, arguments)])
        with redirect_stdout(output), redirect_stderr(errors):
            try:
                main()
            except SystemExit as end:
                returned = end.code or 0
    for number, handler in handlers.items():
        signal.signal(number, handler)
    texts = [stream.buffer.getvalue().decode() for stream in (output, errors)]
    assert returned == code, texts
    return subprocess.CompletedProcess([], code, *texts)
