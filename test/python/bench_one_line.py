"""What bsq.quantize costs over the same calls in C, side by side in one process, on a layer of 512 x 512.

    make bench-python
"""
import ctypes
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"))
import bsq
import numpy as np

OUTPUTS = FAN_IN = 512
ROWS, GROUP, BITS = 2048, 128, 4


def main() -> int:
    library = ctypes.CDLL(sys.argv[1])
    random = np.random.default_rng(1)
    weights = random.standard_normal((OUTPUTS, FAN_IN)).astype(np.float32)
    inputs = np.maximum(random.standard_normal((ROWS, FAN_IN)), 0).astype(np.float32)
    codes, scales = np.empty((OUTPUTS, FAN_IN), np.int8), np.empty((OUTPUTS, FAN_IN // GROUP), np.float32)
    error = ctypes.c_double()

    def pointer(array):
        return ctypes.c_void_p(array.ctypes.data)

    def in_c(effort):
        status = library.one_line(pointer(weights), pointer(inputs), ctypes.c_int64(ROWS), ctypes.c_int64(OUTPUTS),
                                  ctypes.c_int64(FAN_IN), ctypes.c_int32(BITS), ctypes.c_int64(GROUP),
                                  ctypes.c_int32(effort), pointer(codes), pointer(scales), ctypes.byref(error))
        assert status == 0, status

    failed = 0
    print("one line, %d x %d, %d rows, %d bits, groups of %d" % (OUTPUTS, FAN_IN, ROWS, BITS, GROUP))
    print("effort   C, ms   Python, ms   Python / C (median of pairs)")
    for effort, runs in ((0, 40), (1, 25), (5, 7)):
        times = []
        for run in range(runs + 1):
            started = time.perf_counter()
            in_c(effort)
            between = time.perf_counter()
            tensor = bsq.quantize(weights, inputs, bits=BITS, group_size=GROUP, effort=effort)
            ended = time.perf_counter()
            if run:  # the first fills caches
                times.append((between - started, ended - between))
        assert np.array_equal(tensor.codes, codes) and tensor.report.error == error.value
        pairs = np.array(times)
        ratio = float(np.median(pairs[:, 1] / pairs[:, 0]))
        print("%6d %7.1f %12.1f %12.3f" % (effort, *np.median(pairs, axis=0) * 1000, ratio))
        failed += effort > 0 and ratio > 1.05
    if failed:
        print("more than 1.05")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
