"""The step of the Laplacian error cell in numba.

    python numba_step.py 65536 0.2    # elements, seconds
"""

import sys

import numba
import numpy as np

from step import check, measure, operands


# With leave to add in any order the loop is vectorized, sum included; the rest of
# fastmath would only take NaN away.
@numba.njit(parallel=True, fastmath={"reassoc"})
def laplacian(target, mu, dmu, dtarget):
    loss = np.float32(0)
    for i in numba.prange(target.size):
        e = np.sign(target[i] - mu[i])
        dmu[i] = e
        dtarget[i] = -e
        loss -= abs(e)
    return loss


def main():
    n, least = int(sys.argv[1]), float(sys.argv[2])
    target, mu = operands(n)
    dmu, dtarget = np.empty_like(mu), np.empty_like(mu)

    def step():
        return laplacian(target, mu, dmu, dtarget)

    check(target, mu, (dmu, dtarget, step()))
    print(f"numba: {numba.__version__} with {numba.get_num_threads()} threads of {numba.threading_layer()}")
    measure("numba", n, least, step)


if __name__ == "__main__":
    main()
