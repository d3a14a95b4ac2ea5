"""What NumPy makes of pairs and triples of shapes; kept in numpy_broadcast.txt.

    python3 numpy_broadcast.py > numpy_broadcast.txt
"""
import itertools

import numpy as np

SHAPES = [(), (0,), (1,), (3,), (1, 1), (1, 3), (2, 1), (2, 3), (0, 1), (0, 3), (2, 0), (1, 0), (0, 0),
          (1, 1, 1), (2, 1, 1), (2, 3, 4), (1, 3, 4), (2, 1, 4), (3, 4), (4,), (0, 3, 4), (2, 0, 4), (2, 3, 4, 5), (1, 3, 1, 5)]


def result(*shapes):
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return "error"


print("# numpy", np.__version__)
for shapes in itertools.chain(itertools.combinations_with_replacement(SHAPES, 2), itertools.combinations(SHAPES[:12], 3)):
    print(*shapes, "->", result(*shapes), sep=" ; ")
