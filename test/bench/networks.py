#!/usr/bin/python3
"""Whole networks with bsq-onnx: what they lose at few bits, beside what is required of them.

    networks.py PROGRAM SHARED_DATA [--only NETWORK] [--parts DIR] [--markdown FILE] [--quick]

Calibration on 128 pictures spread over all names (resnet20: 512 of its calibration pictures), evaluation on all others (resnet20:
its test pictures). A figure counts as reached within one standard error. With --markdown the tables replace those between the
markers in FILE. With --parts every result is kept in DIR, and what is there already is not run again: an interrupted bench
goes on (that the program has changed is not noticed). With --quick, a test: every network once, at W4A8 on fewer samples,
with margins; fails when one is missed.
"""
import argparse
import json
import math
import os
import subprocess
import sys

BEGIN, END = "<!-- below: written by make bench-networks -->", "<!-- above: written by make bench-networks -->"


def networks(data):
    models, images = f"{data}/models", f"{data}/images"
    cifar = f"{data}/cifar10"
    pictures = ["--images", images, "--calib", "128", "--held-out", "0"]  # all others judge
    boxes = [*pictures, "--images", f"{images}/scenes", "--letterbox"]
    labelled = [*pictures, "--labels", f"{images}/labels.txt", "--crop"]
    return {
        "resnet20_cifar10": [f"{models}/resnet20_cifar10.onnx", "--images", f"{cifar}/calib_images.npy", "--calib", "512",
                             "--test", f"{cifar}/test_images.npy", "--labels", f"{cifar}/test_labels.npy",
                             "--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375"],
        "squeezenet_v1.1": [f"{models}/squeezenet_v1.1.onnx", *labelled, "--size", "227", "--bgr", "--mean", "104,117,123"],
        "mobilenet_v1_0.75_224": [f"{models}/mobilenet_v1_0.75_224.onnx", *labelled, "--size", "224", "--mean", "127.5",
                                  "--std", "127.5"],
        "nanodet_m_320": [f"{models}/nanodet_m_320.onnx", *boxes, "--size", "320", "--bgr", "--mean", "103.53,116.28,123.675",
                          "--std", "57.375,57.12,58.395"],
        "yolov5n_seg_640": [f"{models}/yolov5n_seg_640.onnx", *boxes, "--size", "640", "--pad", "114", "--std", "255"],
    }


FOUR = ["--weight-bits", "4"]

# Network, setting, options, what is required: drop of top-1 at most, agreement at least, share of boxes found at least; in %.
SETTINGS = [
    ("resnet20_cifar10", "W4A8", FOUR, {"drop": 0.3}),
    ("resnet20_cifar10", "W3A8", ["--weight-bits", "3"], {"drop": 0.7}),
    ("resnet20_cifar10", "W2A8", ["--weight-bits", "2"], {"drop": 2.0}),
    ("squeezenet_v1.1", "W4A8", FOUR, {"agreement": 86, "drop": 2}),
    ("squeezenet_v1.1", "W3A8", ["--weight-bits", "3"], {"agreement": 76, "drop": 5}),
    ("mobilenet_v1_0.75_224", "W4A8", FOUR, {"agreement": 86, "drop": 3}),
    *[(network, "W8A8", ["--weight-bits", "8"], {"agreement": 95})
      for network in ("resnet20_cifar10", "squeezenet_v1.1", "mobilenet_v1_0.75_224")],
    *[(network, f"W{bits}A4 {kind}", ["--weight-bits", str(bits), "--act-bits", "4", "--act-scale", kind, "--format", "qdq-layers"],
       {"agreement": 72} if (network, bits, kind) == ("squeezenet_v1.1", 4, "per-channel") else {})
      for network in ("resnet20_cifar10", "squeezenet_v1.1", "mobilenet_v1_0.75_224")
      for bits in (8, 4) for kind in ("per-tensor", "per-channel")],
    ("nanodet_m_320", "W8A8", ["--weight-bits", "8"], {"found": 98}),
    ("nanodet_m_320", "W4A8", FOUR, {"found": 96}),
    ("yolov5n_seg_640", "W8A8", ["--weight-bits", "8"], {"found": 98}),
    ("yolov5n_seg_640", "W4A8", FOUR, {"found": 90}),
    *[(network, setting, options, {}) for network in ("squeezenet_v1.1", "mobilenet_v1_0.75_224")
      for setting, options in (("W4A8, all layers 4 bits", [*FOUR, "--edge-bits", "0"]), ("A8, 4 bits on average", ["--avg-bits", "4"]))],
]

QUICK = [
    ("resnet20_cifar10", "W4A8", [*FOUR, "--eval", "500"], {"agreement": 95}),
    ("squeezenet_v1.1", "W4A8", [*FOUR, "--calib", "64", "--eval", "100"], {"agreement": 78}),
    ("mobilenet_v1_0.75_224", "W4A8", [*FOUR, "--calib", "64", "--eval", "100"], {"agreement": 74}),
    ("nanodet_m_320", "W4A8", [*FOUR, "--calib", "48", "--eval", "100"], {"found": 88}),
    ("yolov5n_seg_640", "W4A8", [*FOUR, "--calib", "16", "--eval", "30"], {"found": 80}),
]

# Pairs of settings of which the second must be better in a figure: less of the error, or more agreement.
PAIRS = [
    *[(network, f"W{bits}A4 per-tensor", f"W{bits}A4 per-channel", "output_error")
      for network in ("resnet20_cifar10", "squeezenet_v1.1", "mobilenet_v1_0.75_224") for bits in (8, 4)],
    *[(network, "W4A8, all layers 4 bits", "A8, 4 bits on average", "agreement")
      for network in ("squeezenet_v1.1", "mobilenet_v1_0.75_224")],
]


def run(program, words, part):
    if part and os.path.exists(part):
        with open(part, encoding="utf-8") as file:
            return json.load(file)
    done = subprocess.run([program, *words, "--evaluate", "--json", "--quiet"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip()}")
    if part:
        with open(part + ".new", "w", encoding="utf-8") as file:
            file.write(done.stdout)
        os.replace(part + ".new", part)
    return json.loads(done.stdout)


def figures(result):
    """Each figure, in % but for the error, with its standard error."""
    e, d = result["evaluation"], result.get("detection")
    n = e["samples"]
    values = {"error": (e["output_error"], 0)}
    if "agreement" in e:
        share = e["agreement"]
        values["agreement"] = 100 * share, 100 * math.sqrt(share * (1 - share) / n)
    if "top1" in e:
        # Pictures on which both disagree are what makes the drop vary.
        values["drop"] = 100 * (e["float_top1"] - e["top1"]), 100 * math.sqrt((1 - e["agreement"]) / n)
    if d and d["confident"] > 0:
        share = d["found"] / d["confident"]
        values["found"] = 100 * share, 100 * math.sqrt(share * (1 - share) / d["confident"])
    return values


def verdict(values, required):
    """'yes', 'within one standard error' or 'no' for all that is required together."""
    words = []
    for name, limit in required.items():
        value, error = values[name]
        missing = value - limit if name in ("drop", "error") else limit - value
        words.append("yes" if missing <= 0 else "within one standard error" if missing <= error else "no")
    for word in ("no", "within one standard error", "yes"):
        if word in words:
            return word
    return ""


def requirement(required):
    texts = {"drop": "drop <= {}", "agreement": "same class >= {} %", "found": "found >= {} %",
             "error": "error <= {}"}
    return ", ".join(texts[name].format(limit) for name, limit in required.items())


def cells(network, setting, result, required):
    e, d, values = result["evaluation"], result.get("detection"), figures(result)
    number = lambda name: "{:.1f}".format(values[name][0]) if name in values else ""  # noqa: E731
    masks = f"{d['mask_iou']:.3f}" if d and "mask_iou" in d else ""
    return [network, setting, f"{result['average_bits']:.2f}", number("drop"), number("agreement"),
            f"{e['output_error']:.4f}", number("found"), masks, f"{result['seconds_solving']:.0f}", requirement(required),
            verdict(values, required)]


HEADS = ["network", "setting", "bits a weight", "top-1 drop, points", "same class as float, %", "relative error of outputs",
         "float boxes found, %", "mask IoU", "seconds solving", "required", "reached"]


def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def compare(results):
    rows = []
    for network, first, second, figure in PAIRS:
        if (network, first) in results and (network, second) in results:
            a, b = (results[network, setting]["evaluation"][figure] for setting in (first, second))
            better = "yes" if (b < a if figure == "output_error" else b > a) else "no"
            if figure == "agreement" and b <= a and 100 * (a - b) <= figures(results[network, second])["agreement"][1]:
                better = "within one standard error"
            name = "relative error of outputs" if figure == "output_error" else "same class as float, %"
            shown = [f"{v:.4f}" if figure == "output_error" else f"{100 * v:.1f}" for v in (a, b)]
            rows.append([network, second, "better than " + first, name, shown[1], shown[0], better])
    return table(["network", "setting", "must be", "in", "this", "that", "reached"], rows) if rows else ""


def write_markdown(path, text):
    with open(path, encoding="utf-8") as file:
        whole = file.read()
    head, rest = whole.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(head + BEGIN + "\n\n" + text + "\n" + END + tail)
    os.replace(path + ".new", path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("data")
    parser.add_argument("--only")
    parser.add_argument("--parts")
    parser.add_argument("--markdown")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.parts:
        os.makedirs(arguments.parts, exist_ok=True)
    commands = networks(arguments.data)
    results, rows = {}, []
    for network, setting, options, required in QUICK if arguments.quick else SETTINGS:
        if arguments.only in (None, network):
            part = arguments.parts and os.path.join(arguments.parts, f"{network}, {setting}.json")
            result = results[network, setting] = run(arguments.program, [*commands[network], *options], part)
            rows.append(cells(network, setting, result, required))
            print(" | ".join(rows[-1]), flush=True)
    if arguments.quick:
        missed = sum(row[-1] == "no" for row in rows)
        print(f"networks: {len(rows) - missed} passed, {missed} failed")
        return missed > 0
    text = table(HEADS, rows) + "\n" + compare(results)
    print("\n" + text)
    if arguments.markdown and not arguments.only:
        write_markdown(arguments.markdown, text)
    return False


if __name__ == "__main__":
    sys.exit(main())
