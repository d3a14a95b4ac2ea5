"""The step of the Laplacian error cell in JAX on the processor.

    python jax_step.py 65536 0.2    # elements, seconds
"""

import functools
import sys

import jax
import jax.numpy as jnp

from step import check, measure, operands


def laplacian(target, mu):
    e = jnp.sign(target - mu)
    return e, -e, -jnp.sum(jnp.abs(e))


fresh = jax.jit(laplacian)


# JAX makes the results of a step in new memory, which for large arrays comes from
# the system, page by page, at each step. Results that are donated to the next step
# are where it writes. keep_unused, because it does not read them.
@functools.partial(jax.jit, donate_argnums=(2, 3), keep_unused=True)
def donated(target, mu, old_dmu, old_dtarget):
    return laplacian(target, mu)


def main():
    n, least = int(sys.argv[1]), float(sys.argv[2])
    # A flat array, on which JAX is as fast as on a batch of rows or faster.
    host = operands(n)
    target, mu = map(jnp.asarray, host)
    results = jnp.zeros_like(mu), jnp.zeros_like(mu), None

    def fresh_step():
        return jax.block_until_ready(fresh(target, mu))

    def donated_step():
        nonlocal results
        results = jax.block_until_ready(donated(target, mu, *results[:2]))
        return results

    print(f"jax: {jax.__version__}")
    for name, step in ("jax", fresh_step), ("jax-donated", donated_step):
        check(*host, step())
        measure(name, n, least, step)


if __name__ == "__main__":
    main()
