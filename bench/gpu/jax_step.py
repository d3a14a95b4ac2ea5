"""The step of the Laplacian error cell in JAX, on the same card.

Prints a line for each size as step_test.go does, and is timed in the same way:
steps one after the other, with no wait but at the end.

    python jax_step.py 4096,65536 0.5 0    # sizes, seconds for each, the GPU's number
"""

import sys
import time

import jax
import jax.numpy as jnp


@jax.jit
def step(target, mu):
    e = jnp.sign(target - mu)
    return e, -e, -jnp.sum(jnp.abs(e))


def seconds(count, target, mu):
    jax.block_until_ready(step(target, mu))
    start = time.perf_counter()
    for _ in range(count):
        result = step(target, mu)
    jax.block_until_ready(result)
    return time.perf_counter() - start


def measure(n, least):
    rows = 256 if n % 256 == 0 else 1
    first, second, third = jax.random.split(jax.random.PRNGKey(n), 3)
    target = jax.random.uniform(first, (rows, n // rows), jnp.float32)
    mu = jax.random.uniform(second, target.shape, jnp.float32)
    mu = jnp.where(jax.random.uniform(third, target.shape) < 0.25, target, mu)
    step(target, mu)[0].block_until_ready()
    count = 1
    while (took := seconds(count, target, mu)) < least:
        count = min(100 * count, max(2 * count, int(1.2 * least / took * count)))
    ns = took / count * 1e9
    print(f"BenchmarkStep/impl=jax/n={n}\t{count}\t{16 * n / ns:.4g} GB/s\t{ns:.6g} ns/step", flush=True)


def main():
    sizes, least, number = sys.argv[1:]
    try:
        device = jax.devices("gpu")[int(number)]
    except (RuntimeError, IndexError):
        sys.exit(f"jax_step.py: JAX sees no GPU {number}: jax[cuda12] or jax[cuda13] is wanted")
    print(f"jax: {jax.__version__} on {device.device_kind}")
    jax.config.update("jax_default_device", device)
    for n in sizes.split(","):
        try:
            measure(int(n), float(least))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            print(f"n={n} is skipped: it does not fit the GPU's memory")


if __name__ == "__main__":
    main()
