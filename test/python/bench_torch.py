"""What bsq.torch takes besides forward passes and solves, on ResNet-18's shapes.

    make bench-python        python3 test/python/bench_torch.py [--images 8] [--size 224] [--effort 5] [--passes 1]
"""
import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"))
import torch
import torchvision

import bsq.torch


def main() -> int:
    parser = argparse.ArgumentParser()
    for name, value in (("images", 8), ("size", 224), ("effort", 5), ("passes", 1)):
        parser.add_argument("--" + name, type=int, default=value)
    given = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(1)
    model = torchvision.models.resnet18(weights=None).eval()
    images = [torch.randn(1, 3, given.size, given.size) for _ in range(given.images)]

    with torch.no_grad():
        model(images[0])
        started = time.perf_counter()
        for image in images:
            model(image)
        forward = (time.perf_counter() - started) * given.passes
    started = time.perf_counter()
    result = bsq.torch.quantize(model, images, bits=4, effort=given.effort, passes=given.passes)
    total = time.perf_counter() - started
    solve, statistics = result.seconds["solve"], result.seconds["statistics"]
    print("ResNet-18, %d images of %d x %d, effort %d, %d pass(es)" % (given.images, given.size, given.size, given.effort,
                                                                      given.passes))
    print("seconds: total %.2f; forward passes alone %.2f, solves %.2f, statistics %.2f, the rest %.2f" % (
        total, forward, solve, statistics, total - forward - solve - statistics))
    print("total / (forward + solves) %.3f" % (total / (forward + solve)))
    print("total / (forward + statistics + solves) %.3f" % (total / (forward + statistics + solve)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
