"""Measures the step of errorcell and of its peers in turn, and compares them.

make bench-peers runs it. A measurement is a process for one implementation and one
size, and nothing else of ours runs meanwhile; each round has all of them, so that a
noisy minute hits all alike. The table is printed, and the measurements are in
out/peers.txt in the format of Go's benchmarks.

It needs no package, and runs on Pythons that are too old for the peers, to say so.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".cache" / "peers"
RESULTS = ROOT / "out" / "peers.txt"
OLDEST_PYTHON = (3, 12)

COLUMNS = ["limit", "errorcell", "jax", "jax-donated", "numba", "gorgonia", "gomlx"]
# What errorcell is divided by: the best of these columns.
RATIOS = {"/limit": ["limit"], "/jax": ["jax", "jax-donated"], "/numba": ["numba"], "/gorgonia": ["gorgonia"], "/gomlx": ["gomlx"]}

BENCHMARK = re.compile(r"BenchmarkLaplacianStep/impl=([a-z-]+)/n=(\d+)\S*\s+\d+\s+(\S+) ns/op")
CONFIGURATION = re.compile(r"([a-z]+): (.+)")


class Unavailable(Exception):
    """Says in one line why something cannot be measured."""


def output(*command, cwd=ROOT):
    """What a command prints. Where it fails, its last words are the reason."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
        raise Unavailable(([line for line in lines if line not in ("", "FAIL")] or [f"{command[0]} failed"])[-1])
    return done.stdout


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--benchtime", default="0.2s", help="seconds of a measurement")
    parser.add_argument("--cpu", type=int, help="threads; as many as there are processors if not given")
    parser.add_argument("--sizes", default="4096,65536,1048576,4194304,33554432", help="elements, those of BenchmarkLaplacianStep or some of them")
    given = parser.parse_args()
    try:
        given.sizes = [int(n) for n in given.sizes.split(",")]
        given.seconds = float(given.benchtime.rstrip("s"))
    except ValueError as error:
        parser.error(f"--sizes and --benchtime are numbers: {error}")
    if given.rounds < 1 or given.cpu is not None and given.cpu < 1:
        parser.error("--rounds and --cpu are 1 or more")
    return given


def build(folder, name):
    """The path of a folder's tests, of which those have passed that compare results."""
    binary = CACHE / name
    output("go", "test", "-c", "-o", binary, ".", cwd=folder)
    output(binary, "-test.run", "^(TestImplementationsAgree|TestStep)$", cwd=folder)
    return binary


def python():
    """The path of a Python that has what requirements.txt lists."""
    if sys.version_info < OLDEST_PYTHON:
        raise Unavailable("they need Python %d.%d or newer, and this is %d.%d: PYTHON names another" % (OLDEST_PYTHON + sys.version_info[:2]))
    environment = CACHE / "python"
    requirements = HERE / "requirements.txt"
    installed = environment / "installed"  # written last: what the environment has
    wanted = sys.version + "\n" + requirements.read_text()
    if not installed.exists() or installed.read_text() != wanted:
        print("pip installs JAX and numba in .cache/peers", flush=True)
        try:
            output(sys.executable, "-m", "venv", "--clear", environment)
            output(environment / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--only-binary", ":all:", "-r", requirements)
        except Unavailable as reason:
            raise Unavailable(f"PyPI cannot be reached, or has nothing for this machine and Python: {reason}")
        installed.write_text(wanted)
    return environment / "bin/python"


def prepare():
    """What can be measured: the command for a size and seconds, by name."""

    def go(binary, name):
        return lambda n, seconds: [binary, "-test.run", "^$", "-test.bench", f"LaplacianStep/impl={name}$/n={n}$", "-test.benchtime", f"{seconds}s"]

    def script(name):
        return lambda n, seconds: [interpreter, HERE / name, n, seconds]

    CACHE.mkdir(parents=True, exist_ok=True)
    ours = build(ROOT / "bench", "bench.test")
    commands = {name: go(ours, name) for name in ("limit", "errorcell", "gorgonia")}
    try:
        interpreter = python()
        commands.update(jax=script("jax_step.py"), numba=script("numba_step.py"))
    except Unavailable as reason:
        print(f"JAX and numba are not measured: {reason}", flush=True)
    try:
        commands["gomlx"] = go(build(HERE / "gomlx", "gomlx.test"), "gomlx")
    except Unavailable as reason:
        print(f"gomlx is not measured: {reason}", flush=True)
    return commands


def limit_threads(cpu):
    """Gives this process, and with it all that it starts, so many threads."""
    if hasattr(os, "sched_setaffinity"):
        processors = sorted(os.sched_getaffinity(0))
        cpu = min(cpu or len(processors), len(processors))
        # JAX has a thread for each processor that it may run on.
        os.sched_setaffinity(0, processors[-cpu:])
    cpu = cpu or os.cpu_count()
    os.environ["GOMAXPROCS"] = os.environ["NUMBA_NUM_THREADS"] = str(cpu)
    # Otherwise numba's threads would be told to sleep, or to keep a processor busy
    # for ever, by what somebody has set for another program.
    os.environ.pop("OMP_WAIT_POLICY", None)
    if cpu == 1:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    return cpu


def measure(commands, given):
    """The lines of all measurements, in turn, on what they were made, and the highest
    load of the machine."""
    lines, load = [], 0
    configuration = {"gomlx": re.search(r"gomlx/compute (\S+)", (HERE / "gomlx" / "go.mod").read_text()).group(1)}
    for i in range(given.rounds):
        for n in given.sizes:
            print(f"round {i + 1} of {given.rounds}: {n} elements", flush=True)
            for name in list(commands):
                try:
                    printed = output(*commands[name](n, given.seconds), cwd=HERE).splitlines()
                    measured = list(filter(BENCHMARK.match, printed))
                    if not measured:
                        raise Unavailable(f"it has no step of {n} elements")
                except Unavailable as reason:
                    print(f"{name} is not measured any more: {reason}", flush=True)
                    del commands[name]
                    continue
                lines += measured
                for match in filter(None, map(CONFIGURATION.match, printed)):
                    configuration.setdefault(*match.groups())
            load = max(load, os.getloadavg()[0])
    return lines, configuration, load


def table(lines, sizes):
    """The median of each column in GB/s, and the ratios of errorcell, for each size."""
    samples = {}
    for name, n, ns in (BENCHMARK.match(line).groups() for line in lines):
        samples.setdefault((name, int(n)), []).append(16 * int(n) / float(ns))
    speed = {key: statistics.median(values) for key, values in samples.items()}

    yield ["elements"] + COLUMNS + list(RATIOS)
    for n in sizes:
        row = [f"{speed[name, n]:.3g}" if (name, n) in speed else "-" for name in COLUMNS]
        for names in RATIOS.values():
            rivals = [speed[name, n] for name in names if (name, n) in speed]
            row.append(f"{speed['errorcell', n] / max(rivals):.2f}" if rivals and ("errorcell", n) in speed else "-")
        yield [str(n)] + row


def main():
    given = arguments()
    try:
        commands = prepare()
    except Unavailable as reason:
        sys.exit(f"errorcell cannot be measured: {reason}")
    threads = limit_threads(given.cpu)
    lines, configuration, load = measure(commands, given)

    RESULTS.parent.mkdir(exist_ok=True)
    head = "".join(f"{key}: {value}\n" for key, value in configuration.items())
    RESULTS.write_text(head + "\n".join(lines) + "\n")
    print(f"\n{head}threads: {threads}\n\nGB/s (16 bytes an element), median of {given.rounds}, and errorcell divided by others:\n")
    rows = list(table(lines, given.sizes))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths)))
    if load > threads + 1:
        print(f"\nOther programs ran too (the load was {load:.1f}): this table says little, of numba least.")
    if "errorcell" not in commands:
        sys.exit(1)


if __name__ == "__main__":
    main()
