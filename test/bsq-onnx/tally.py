"""Counts what the tests of bsq-onnx expect."""

_passed = _failed = _skipped = 0


def expect(good, text):
    global _passed, _failed
    if good:
        _passed += 1
    else:
        _failed += 1
        print("failed:", text)


def skip(text):
    global _skipped
    _skipped += 1
    print("skipped:", text)


def closing_line(name):
    """Prints it; whether something failed."""
    print(f"{name}: {_passed} passed, {_failed} failed" + (f", {_skipped} skipped" if _skipped else ""))
    return _failed > 0
