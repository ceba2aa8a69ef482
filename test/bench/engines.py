#!/usr/bin/python3
"""What bsq-onnx writes in ONNX Runtime: time beside the float network, fused layers, accuracy, versions that load it.

    engines.py PROGRAM JUDGE PACKAGES SHARED_DATA [--only NETWORK] [--parts DIR] [--markdown FILE] [--runs N]

PROGRAM is bsq-onnx, JUDGE the test program in_engine, PACKAGES the node_modules of `make deps-engines`. Times are of one
thread with default optimisation; float and quantized network run in turn, the least tenths of the processor's time are compared.
With --parts written networks and their reports are kept in DIR, and an interrupted bench goes on.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
from networks import networks, table  # noqa: E402

BEGIN, END = "<!-- below: written by make bench-engines -->", "<!-- above: written by make bench-engines -->"
VERSIONS = ("onnxruntime-node-1.16", "onnxruntime-node-1.20", "onnxruntime-node-1.23", "onnxruntime-node", "onnxruntime-web")
FOUR = ["--weight-bits", "4"]

# Network, setting, options, required: time ratio at most, fused layers at least, share of boxes found.
SETTINGS = [
    ("resnet20_cifar10", "W8A8", [], {"time": 0.60, "fused": 19}),
    ("resnet20_cifar10", "W4A8", FOUR, {"time": 0.60, "fused": 19}),
    ("squeezenet_v1.1", "W8A8", [], {"time": 0.75, "fused": 25}),
    ("squeezenet_v1.1", "W4A8", FOUR, {"time": 0.75, "fused": 25}),
    ("mobilenet_v1_0.75_224", "W8A8", [], {"time": 0.65, "fused": 27}),
    ("mobilenet_v1_0.75_224", "W4A8", FOUR, {"time": 0.65, "fused": 27}),
    ("nanodet_m_320", "W8A8", [], {"time": 1.0, "fused": 70, "found": 98}),
    ("nanodet_m_320", "W4A8", FOUR, {"time": 1.0, "fused": 70}),
    ("yolov5n_seg_640", "W8A8", [], {"time": 0.8, "fused": 58, "found": 98}),
    ("yolov5n_seg_640", "W4A8", FOUR, {"time": 0.8, "fused": 58}),
]


class Failed(Exception):
    """A program that a row needs; other rows go on."""


def call(words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(words)}: {done.stderr.strip()}")
    return done


def kept(path, words):
    """What the words print, once: files appear whole, so that an interrupted bench goes on."""
    if not os.path.exists(path):
        done = call(words)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(done.stdout)
        os.replace(path + ".new", path)
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def quantize(program, words, path):
    return kept(path + ".run", [program, *words, "--json", "--quiet", "-o", path])


def judged(judge, engine, words, path):
    return kept(path + ".judged", [judge, " ".join(engine), path, *words, "--evaluate"])


def figures(result):
    """The shares that tell, in %."""
    e, d = result["evaluation"], result.get("detection")
    values = {name: 100 * e[name] for name in ("top1", "agreement") if name in e}
    if d and d["confident"]:
        values["found"] = 100 * d["found"] / d["confident"]
    return values


def loads(engine, path):
    """The versions that load and run it without a word."""
    silent = []
    for package in VERSIONS:
        done = subprocess.run([*engine, "check", package, path], capture_output=True, text=True, check=False)
        if done.returncode == 0 and not done.stderr.strip():
            silent.append(package)
        else:
            print(f"{path} in {package}: {done.stderr.strip()[:500]}", file=sys.stderr)
    return len(silent)


def row(arguments, engine, words, path, required):
    ours = figures(quantize(arguments.program, words, path))
    timed = json.loads(call([*engine, "time", arguments.runs, words[0], path]).stdout)
    theirs = figures(judged(arguments.judge, engine, words, path))
    versions = loads(engine, path)
    fused = timed[1]["operators"].get("QLinearConv", 0)
    layers = timed[0]["operators"].get("Conv", 0) + timed[0]["operators"].get("FusedConv", 0)
    apart = max(abs(theirs[name] - ours[name]) for name in theirs)
    good = [timed[1]["ratio"] <= required["time"], fused >= required["fused"],
            theirs.get("found", 100) >= required.get("found", 0), apart <= 0.5, versions == len(VERSIONS)]
    shown = "; ".join(f"{name} {theirs[name]:.1f} ({ours[name]:.1f})" for name in theirs)
    return [f"{timed[0]['processor']:.2f}", f"{timed[1]['processor']:.2f}", f"{timed[1]['ratio']:.2f}", f"{fused} of {layers}", shown,
            f"{versions} of {len(VERSIONS)}", f"time <= {required['time']}, fused >= {required['fused']}" +
            (f", found >= {required['found']}" if "found" in required else ""), "yes" if all(good) else "no"]


def main():
    parser = argparse.ArgumentParser()
    for name in ("program", "judge", "packages", "data"):
        parser.add_argument(name)
    parser.add_argument("--only")
    parser.add_argument("--parts")
    parser.add_argument("--markdown")
    parser.add_argument("--runs", default="60")
    arguments = parser.parse_args()
    engine = ["node", "test/engines/onnxruntime.js", arguments.packages]
    folder = arguments.parts or tempfile.mkdtemp()
    os.makedirs(folder, exist_ok=True)
    commands = networks(arguments.data)
    rows, failed = [], 0
    for network, setting, options, required in SETTINGS:
        if arguments.only not in (None, network):
            continue
        words = [*commands[network], *options]
        path = os.path.join(folder, f"{network}-{setting}.onnx")
        try:
            rows.append([network, setting, *row(arguments, engine, words, path, required)])
            print(" | ".join(rows[-1]), flush=True)
        except Failed as error:
            failed += 1
            print(f"{network} {setting}: {error}", file=sys.stderr, flush=True)
    text = table(["network", "setting", "float, ms of the processor", "quantized, ms", "time / float time",
                  "fused to QLinearConv", "in ONNX Runtime (as bsq-onnx says), %", "versions that load it silently",
                  "required", "reached"], rows)
    if arguments.markdown and not arguments.only and not failed:
        with open(arguments.markdown, encoding="utf-8") as file:
            head, rest = file.read().split(BEGIN, 1)
        with open(arguments.markdown, "w", encoding="utf-8") as file:
            file.write(head + BEGIN + "\n\n" + text + "\n" + END + rest.split(END, 1)[1])
    return 1 if failed else 0


sys.exit(main())
