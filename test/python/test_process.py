"""Threads, forks, signals, callbacks: what a process does around the calls."""
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest
from conftest import PACKAGE, correlated

import bsq

# ---- progress, log, exceptions -----------------------------------------------------------------------------------


def test_progress(linear):
    weights, inputs = linear
    seen = []
    bsq.quantize(weights, inputs, bits=3, progress=seen.append)
    assert len(seen) > 3 and all(isinstance(p, bsq.Progress) for p in seen)
    fractions = [p.fraction for p in seen if p.stage != "statistics"]
    assert fractions == sorted(fractions) and fractions[-1] <= 1 and {p.stage for p in seen} >= {"beam"}


def test_log(linear):
    weights, inputs = linear
    lines = []
    bsq.quantize(weights, inputs[:20], log=lambda level, text: lines.append((level, text)))
    assert lines and all(level in ("warning", "info") and "\n" not in text for level, text in lines)


class Stop(Exception):
    pass


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_exceptions_of_callbacks_come_out(linear, error):
    """Any exception of a callback comes out of the call; the layer is what it was."""
    weights, inputs = linear
    calls = []

    def progress(_):
        calls.append(1)
        if raising:
            raise error("stop")

    raising = False
    with bsq.Layer(weights, effort=3, progress=progress) as layer:
        layer.calibrate(inputs)
        layer.optimize()
        before = layer.tensor()
        raising = True
        with pytest.raises(error, match="stop"):
            layer.optimize(bits=2)
        with pytest.raises(error):
            layer.error_table()
        with pytest.raises(error):
            layer.calibrate(inputs)
        raising = False
        assert layer.tensor() == before and layer.stats().rows == 900
        assert layer.optimize().bits == 2
    with pytest.raises(Stop):
        bsq.quantize(weights, inputs[:20], log=lambda level, text: (_ for _ in ()).throw(Stop()))


def test_cancel(linear):
    weights, inputs = linear
    with bsq.Layer(weights, progress=lambda p: True) as layer:
        with pytest.raises(bsq.CancelledError):
            layer.calibrate(inputs)
        with pytest.raises(bsq.CancelledError):
            layer.optimize(solver="round")
    assert bsq.quantize(weights, inputs, progress=lambda p: None).report.error > 0


def test_callbacks_do_not_call_into_their_layer(linear):
    weights, inputs = linear
    texts = []

    def progress(_):
        for call in (layer.optimize, layer.close, layer.tensor, lambda: layer.state):
            with pytest.raises(bsq.StateError) as raised:
                call()
            texts.append(str(raised.value))
        other = bsq.quantize(weights[:2, :3], effort=0)  # another layer is fine
        assert other.bits == 4

    layer = bsq.Layer(weights, effort=1)
    layer.calibrate(inputs)
    layer.close()
    layer = bsq.Layer(weights, effort=1, progress=progress)
    layer.calibrate(inputs)
    layer.optimize()
    layer.close()
    assert texts and all("at work" in text for text in texts)


def test_bars(linear, capsys, monkeypatch):
    """tqdm's bar where it is installed, a line of percents elsewhere."""
    weights, inputs = linear
    monkeypatch.setitem(sys.modules, "tqdm", None)
    bsq.quantize(weights, inputs, bits=3, progress=True)
    assert "bsq: " in capsys.readouterr().err
    monkeypatch.undo()
    pytest.importorskip("tqdm")
    bsq.quantize(weights, inputs, bits=3, progress=True)
    assert "%|" in capsys.readouterr().err


def test_layers_go_without_the_collector(linear):
    """No callback and no cycle keeps a layer alive."""
    gc.disable()
    try:
        layer = bsq.Layer(linear[0], progress=lambda p: None, log=lambda level, text: None)
        gone = weakref.ref(layer)
        del layer
        assert gone() is None
    finally:
        gc.enable()


# ---- signals -----------------------------------------------------------------------------------------------------


def test_interrupt_ends_a_solve(slow_layer):
    """Ctrl-C comes out as KeyboardInterrupt long before the solve would end; the layer stays as it was."""
    started = time.monotonic()
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        slow_layer.optimize()
    interrupted = time.monotonic() - started
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert "result" not in slow_layer.state
    started = time.monotonic()
    slow_layer.optimize()
    assert interrupted < (time.monotonic() - started) * 0.8
    assert "result" in slow_layer.state


def test_interrupt_during_error_table(slow_layer):
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        while True:  # a table may be ready before the signal comes
            slow_layer.error_table()


def test_handlers_that_raise(slow_layer):
    """A time limit by SIGALRM works as well, and a handler that does not raise stops nothing."""

    def raising(number, frame):
        raise TimeoutError("too long")

    called = []
    before = signal.signal(signal.SIGALRM, raising)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(TimeoutError, match="too long"):
            slow_layer.optimize()
        assert signal.getsignal(signal.SIGALRM) is raising
        signal.signal(signal.SIGALRM, lambda number, frame: called.append(number))
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        slow_layer.optimize(effort=6)
        assert called == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---- threads -----------------------------------------------------------------------------------------------------


def test_the_lock_of_python_is_released(slow_layer):
    """Another thread counts while C works."""
    counted = [0]
    done = threading.Event()

    def count():
        while not done.is_set():
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    before = counted[0]
    slow_layer.optimize(effort=5)
    during = counted[0] - before
    done.set()
    thread.join()
    assert during > 20


def test_threads_that_share_a_layer_are_refused(slow_layer):
    """While one thread solves, all calls of another raise StateError, and the solve is not disturbed."""
    solving = threading.Thread(target=slow_layer.optimize)
    solving.start()
    time.sleep(0.1)
    refused = 0
    while solving.is_alive() and refused < 200:
        for call in (slow_layer.optimize, slow_layer.close, slow_layer.tensor, slow_layer.stats):
            try:
                call()
            except bsq.StateError as error:
                refused += "at work" in str(error)
    solving.join()
    assert refused >= 4
    assert not slow_layer.closed and "result" in slow_layer.state


def test_layers_in_parallel(linear):
    weights, inputs = linear
    wanted = bsq.quantize(weights, inputs, bits=3)
    found = [None] * 6

    def solve(i):
        found[i] = bsq.quantize(weights, inputs, bits=3)

    threads = [threading.Thread(target=solve, args=(i,)) for i in range(len(found))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(tensor == wanted for tensor in found)


# ---- forks -------------------------------------------------------------------------------------------------------


def in_child(function):
    """Exit status of a forked child that runs the function; it must end by itself."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            signal.alarm(60)
            function()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return status


def test_fork(linear):
    """A layer at rest works in both processes after a fork; both results are the same."""
    weights, inputs = linear
    with bsq.Layer(weights, bits=3, threads=2) as layer:
        layer.calibrate(inputs)
        wanted = layer.clone()
        wanted.optimize()
        tensor = wanted.tensor()

        def child():
            layer.optimize()
            assert layer.tensor() == tensor
            layer.close()

        assert in_child(child) == 0
        layer.optimize()
        assert layer.tensor() == tensor


def test_fork_in_the_middle(slow_layer, linear):
    """A fork while another thread solves: the child cannot use that layer, and says so; it can use others."""
    weights, inputs = linear
    wanted = bsq.quantize(weights, inputs, bits=3)
    solving = threading.Thread(target=slow_layer.optimize)
    solving.start()
    time.sleep(0.2)

    def child():
        for call in (slow_layer.optimize, slow_layer.close, slow_layer.tensor):
            with pytest.raises(bsq.StateError, match="at work"):
                call()
        assert bsq.quantize(weights, inputs, bits=3) == wanted

    assert in_child(child) == 0
    assert solving.is_alive()
    solving.join()
    assert "result" in slow_layer.state


def test_forks_beside_threads_of_openblas():
    """OpenBLAS with threads of its own would hang in a fork while another thread multiplies: forks wait for the next
    callback, also from inside of a callback, and with layers inside of callbacks."""
    program = r"""
import os, sys, threading, time
sys.path.insert(0, sys.argv[1])
import bsq, numpy as np
random = np.random.default_rng(1)
small = random.standard_normal((8, 16))

def fork():
    pid = os.fork()
    if not pid:
        os._exit(0 if bsq.quantize(small, bits=3).bits == 3 else 1)
    assert os.waitpid(pid, 0)[1] == 0

def work():
    def progress(step):
        if len(seen) < 3:
            seen.append(1)
            bsq.quantize(small, bits=2, progress=lambda step: None)
            fork()
    seen = []
    bsq.quantize(random.standard_normal((192, 384)), random.standard_normal((1500, 384)), bits=3, effort=7, progress=progress)
    done.append(1)

done = []
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
forks = 0
while any(thread.is_alive() for thread in threads):
    fork()
    forks += 1
    time.sleep(0.02)
for thread in threads:
    thread.join()
assert len(done) == 2
print("forks", forks)
"""
    ended = subprocess.run([sys.executable, "-X", "faulthandler", "-c", program, str(PACKAGE)], capture_output=True,
                           text=True, timeout=150, env={**os.environ, "OPENBLAS_NUM_THREADS": "2"})
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout.split()[1]) >= 3


def solve_part(inputs):
    stats = bsq.Stats()
    stats.update(inputs)
    return stats


def test_multiprocessing(linear):
    """Statistics travel between processes."""
    weights, inputs = linear
    with multiprocessing.get_context("fork").Pool(2) as pool:
        parts = pool.map(solve_part, np.array_split(inputs, 4))
    merged = bsq.Stats()
    merged.merge(*parts)
    assert merged.rows == 900 and bsq.quantize(weights, stats=merged).report.error > 0


# ---- the process -------------------------------------------------------------------------------------------------


def test_import_is_numpy_alone():
    program = "import sys; sys.path.insert(0, %r); import numpy; before = set(sys.modules); import bsq; " \
              "print(sorted(m.split('.')[0] for m in set(sys.modules) - before if m.split('.')[0] in " \
              "('torch', 'tqdm', 'matplotlib', 'safetensors', 'scipy')))" % str(PACKAGE)
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"


def test_exit_with_layers_open(tmp_path):
    """The interpreter ends well whatever is still there."""
    program = "import sys; sys.path.insert(0, %r); import bsq, numpy as np; layer = bsq.Layer(np.ones((3, 4))); " \
              "stats = bsq.Stats(); stats.update(np.ones((5, 4))); layer.me = layer" % str(PACKAGE)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 0 and not ended.stderr


def test_help_is_a_manual():
    import inspect
    import pydoc

    text = pydoc.render_doc(bsq, renderer=pydoc.plaintext)
    for name in bsq.__all__:
        thing = getattr(bsq, name)
        assert inspect.getdoc(thing), name
        assert name in text
    for kind in (bsq.Layer, bsq.Stats, bsq.Tensor, bsq.Report, bsq.Geometry):
        for name, member in vars(kind).items():
            if not name.startswith("_") and (callable(member) or isinstance(member, (property, classmethod))):
                assert inspect.getdoc(getattr(kind, name)), (kind, name)
