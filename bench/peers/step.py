"""What the peers in Python share: operands, a check of results, the clock."""

import os
import sys
import time

import numpy as np


def operands(n):
    """target and mu, of which a quarter of the units agree."""
    rng = np.random.default_rng(n)
    target, mu = rng.random(n, np.float32), rng.random(n, np.float32)
    return target, np.where(rng.integers(4, size=n) == 0, target, mu)


def check(target, mu, results):
    """Ends the program if the results are not what the formula gives."""
    dmu, dtarget, loss = map(np.asarray, results)
    e = np.sign(target - mu)
    want = -float(np.count_nonzero(e))
    if not (np.array_equal(dmu, e) and np.array_equal(dtarget, -e) and abs(loss - want) <= -1e-6 * want):
        sys.exit(f"{len(target)} units: wrong dmu or dtarget, or L: {loss}, where {want} is right")


def measure(name, n, least, step):
    """Prints a line as Go's benchmarks do, for steps that take least seconds together."""

    def seconds(count):
        start = time.perf_counter()
        for _ in range(count):
            step()
        return time.perf_counter() - start

    seconds(3)
    count = 1
    while (took := seconds(count)) < least:
        count = min(100 * count, max(2 * count, int(1.2 * least / took * count)))
    ns = took / count * 1e9
    threads = int(os.environ.get("GOMAXPROCS", os.cpu_count()))
    suffix = f"-{threads}" if threads > 1 else ""
    print(f"BenchmarkLaplacianStep/impl={name}/n={n}{suffix}\t{count}\t{ns:.1f} ns/op\t{16e3 * n / ns:.2f} MB/s", flush=True)
