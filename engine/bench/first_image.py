"""A program: embeds the image on standard input once, and prints how many milliseconds its parts took. See ``cold``.

It is run by its path, so that nothing of the engine is imported before the clock runs.
"""

import json
import sys
import time
from itertools import pairwise


def main() -> None:
    options, role = json.loads(sys.argv[1])
    image = sys.stdin.buffer.read()
    times = [time.perf_counter()]
    from copytrace.engine import Engine

    times.append(time.perf_counter())
    engine = Engine(**options)
    times.append(time.perf_counter())
    engine.embed(image, role=role)
    times.append(time.perf_counter())
    parts = (1000 * (after - before) for before, after in pairwise(times))
    print(json.dumps(dict(zip(("import_ms", "load_ms", "first_image_ms"), parts, strict=True))))


if __name__ == "__main__":
    main()
