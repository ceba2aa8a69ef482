"""What the tests of the Python package share: where things are, and made-up data."""
import os
import pathlib
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "examples" / "python"
sys.path.insert(0, str(PACKAGE))
sys.dont_write_bytecode = True
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture
def random():
    return np.random.default_rng(7)


def correlated(random, rows, *shape):
    """Activations behind a ReLU, neighbours alike."""
    values = random.standard_normal((rows, *shape))
    for i in range(1, shape[-1]):
        values[..., i] += 0.8 * values[..., i - 1]
    return np.maximum(values, 0).astype(np.float32)


@pytest.fixture
def linear(random):
    """(weights, inputs) of a linear layer, 24 x 40."""
    return random.standard_normal((24, 40)).astype(np.float32), correlated(random, 900, 40)


@pytest.fixture
def slow_layer(random):
    """A layer whose solve takes seconds, with statistics."""
    import bsq

    layer = bsq.Layer(random.standard_normal((256, 512)).astype(np.float32), effort=8, bits=3)
    layer.calibrate(correlated(random, 2000, 512))
    yield layer
    layer.close()
