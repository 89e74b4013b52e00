"""How the native core uses threads and memory: beside the GIL, beside forks, where there is little of either."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from copytrace.engine import _core

ISAS = _core.instruction_sets()


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def projection() -> _core.Projection:
    rng = np.random.default_rng(0)
    mean, components = rng.standard_normal(8, np.float32), rng.standard_normal((4, 8), np.float32)
    return _core.Projection(mean, components, np.ones(4, np.float32))


def steps_beside_building(rows: np.ndarray) -> int:
    """What another thread got to do meanwhile."""
    steps, done = 0, threading.Event()

    def build() -> None:
        _core.Bank(rows)
        done.set()

    thread = threading.Thread(target=build)
    thread.start()
    while not done.wait(0.001):
        steps += 1
    thread.join()
    return steps


def test_building_a_bank_lets_other_threads_run() -> None:
    rows = unit(np.random.default_rng(0).standard_normal((200_000, 64)))
    assert any(steps_beside_building(rows) >= 3 for _ in range(5)), "nothing else ran while the bank was built"


LIMITED = """
import os, resource, numpy as np
from copytrace.engine import _core
rng = np.random.default_rng(0)
raw = rng.standard_normal((5000, 32)).astype(np.float32)
parts = [rng.standard_normal(s).astype(np.float32) for s in (32, (8, 32))] + [np.ones(8, np.float32)]
p = _core.Projection(*parts)
expected = p.apply(raw)
used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, resource.RLIM_INFINITY))
assert (p.apply(raw, threads=4) == expected).all()
search = _core.NearestSearch(raw[:50], 3)
search.add(_core.References(raw), 0, np.arange(5000), threads=4)
assert (search.result()[1][::3] == np.arange(50)).all()
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the stack of a thread follows RLIMIT_STACK on Linux")
def test_threads_that_cannot_be_started_are_done_without() -> None:
    """Each thread would get a stack of 4 GB, where only one more is allowed."""
    command = f"ulimit -S -s {4 * 2**20} && exec {sys.executable} -c '{LIMITED}'"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment)
    assert result.returncode == 0 and result.stdout == "done\n", result.stderr


@pytest.mark.parametrize("threads", [2**31, 2**59, 2**62, 2**63 - 1])
def test_any_number_of_threads_may_be_asked_for(threads: int) -> None:
    rng = np.random.default_rng(0)
    p, b = projection(), _core.Bank(np.eye(4, dtype=np.float32))
    raw = rng.standard_normal((500, 8)).astype(np.float32)
    assert (p.apply(raw, threads=threads) == p.apply(raw)).all()
    assert (b.normalise(raw[:, :4].copy(), method=2, beta=1.0, threads=threads)).shape == (500, 4)
    assert len(_core.References(raw).within(raw, 0.0, threads=threads)[0]) == 500


FORKING = """
import os, sys, threading, time, numpy as np
from copytrace.engine import _core
rng = np.random.default_rng(0)
raw, rows = rng.standard_normal((3000, 64), np.float32), rng.standard_normal((500, 64), np.float32)
bank = _core.Bank(rows)
expected = bank.normalise(raw, method=2, beta=1.8)
stop = threading.Event()
def work():
    while not stop.is_set():
        bank.normalise(raw, method=2, beta=1.8, threads=3)
busy = threading.Thread(target=work)
busy.start()
for _ in range(20):  # whatever the pool is doing at that moment
    child = os.fork()
    if child == 0:
        right = (bank.normalise(raw, method=2, beta=1.8, threads=3) == expected).all()
        end = time.monotonic() + 5  # a thread that was joined may still stand there for a moment
        while (threads := len(os.listdir("/proc/self/task"))) > 1 and time.monotonic() < end:
            time.sleep(0.001)
        os._exit(0 if right and threads == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
busy.join()
assert (bank.normalise(raw, method=2, beta=1.8, threads=3) == expected).all()
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_a_forked_child_computes_without_the_threads_that_stayed_behind() -> None:
    result = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0 and result.stdout == "done\n", result.stderr


FORKING_AMID = """
import os, signal, sys, threading, time, numpy as np
from copytrace.engine import _core
rows = np.random.default_rng(0).standard_normal((20_000, 256), np.float32)
queries, ranks = rows[:20].copy(), np.arange(20_000)
expected = _core.Bank(rows).nearest(queries, 3)[1]
for isa in _core.instruction_sets():
    for turn in range(4):  # while another thread makes the form that is scanned, which the child's own call needs as well
        bank = _core.Bank(rows)
        other = threading.Thread(target=bank.nearest, args=(queries, 3), kwargs={"threads": 2, "isa": isa})
        other.start()
        time.sleep(0.001 * turn)
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            os._exit(0 if (bank.nearest(queries, 3, threads=2, isa=isa)[1] == expected).all() else 1)
        assert os.waitpid(child, 0)[1] == 0, isa
        other.join()
outcomes = set()
for _ in range(5):  # a fork may come too late on a busy machine
    search = _core.NearestSearch(rows[:4000].copy(), 3)
    other = threading.Thread(target=search.add, args=(_core.References(rows), 0, ranks))
    other.start()
    while other.is_alive():
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            try:
                search.result()
            except RuntimeError as error:
                os._exit(3 if "forked" in str(error) else 1)
            os._exit(0)
        outcomes.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        time.sleep(0.01)
    if outcomes != {0}:
        break
assert 3 in outcomes and outcomes <= {0, 3}, outcomes  # refused while it was under way
print("done")
"""


def test_a_child_forked_amid_a_first_call_waits_for_no_thread_that_stayed_behind() -> None:
    result = subprocess.run([sys.executable, "-c", FORKING_AMID], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0 and result.stdout == "done\n", result.stderr


ENDING = """
import sys, threading, time, numpy as np
from copytrace.engine import _core
rows = np.random.default_rng(0).standard_normal((int(sys.argv[2]), 64), np.float32)
bank = _core.Bank(rows)
bank.nearest(rows, 5, threads=4)
def work():
    while True:
        bank.nearest(rows, 5, threads=4)
for _ in range(int(sys.argv[1])):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
"""


@pytest.mark.parametrize(
    ("callers", "rows"), [(0, 4000), (1, 4000), (4, 64)], ids=["awake", "at work", "waiting for the interpreter"]
)
def test_the_process_ends_whatever_the_threads_are_at(callers: int, rows: int) -> None:
    subprocess.run([sys.executable, "-c", ENDING, str(callers), str(rows)], check=True, timeout=120)


def test_a_result_taken_while_a_block_is_added_is_whole_or_refused() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((3000, 16), np.float32)
    references = _core.References(rows)
    outcomes = set()
    for _ in range(15):
        search = _core.NearestSearch(rows[:500].copy(), 10)
        adding = threading.Thread(target=search.add, args=(references, 0, np.arange(3000)), kwargs={"threads": 2})
        adding.start()
        while adding.is_alive():
            try:
                outcomes.add(len(search.result()[0]))
            except ValueError as error:
                assert "while the result was taken" in str(error)
        adding.join()
        assert len(search.result()[0]) == 5000
    assert outcomes <= {0, 5000}


def test_calls_from_many_threads_at_once_do_not_disturb_each_other() -> None:
    """One has the pool, the others start threads of their own; an error stays with its own call."""
    rng = np.random.default_rng(0)
    bank = _core.Bank(unit(rng.standard_normal((300, 32))))
    inputs = [unit(rng.standard_normal((500, 32))) for _ in range(8)]
    expected = [bank.normalise(rows, method=2, beta=1.8) for rows in inputs]
    bad = np.full((500, 32), np.nan, np.float32)

    def call(number: int) -> bool:
        if number % 5 == 4:
            with pytest.raises(ValueError, match="NaN"):
                bank.normalise(bad, method=2, beta=1.8, threads=4)
            return True
        return bool((bank.normalise(inputs[number % 8], method=2, beta=1.8, threads=4) == expected[number % 8]).all())

    with ThreadPoolExecutor(6) as callers:
        assert all(callers.map(call, range(300)))


MEMORY = """
import gc, os, numpy as np
from copytrace.engine import _core
def used():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
rows = np.random.default_rng(0).random((60_000, 256), dtype=np.float32)
start = used()
bank = _core.Bank(rows)
bank.nearest(rows[:3].copy(), 5)
after_bank = used()
references = _core.References(rows)
references.within(rows[:3].copy(), 0.1)
print((after_bank - start) / rows.nbytes, (used() - after_bank) / rows.nbytes)
"""


@pytest.mark.skipif("avx512vnni" not in ISAS, reason="float32 is what is scanned on this processor")
def test_no_float_copy_beside_what_is_scanned_in_bytes() -> None:
    result = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert all(float(share) <= 1.6 for share in result.stdout.split()), result.stdout
