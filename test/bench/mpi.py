"""What libbsq-mpi costs on this machine, and by the model of docs/cluster.md on 64 and 1024 nodes.

    python3 test/bench/mpi.py build/test/mpi_bench mpirun

Rates are measured on one rank of one thread, in seconds of the processor. What several ranks need and send on this machine
is then set beside what the model says of it, before the model is asked about clusters.
"""

import math
import os
import re
import subprocess
import sys

FAN_INS = (512, 1024, 2048, 4096, 6144)
RANKS = (1, 2, 4)
SHARDS = PARTS = 16  # those of bench.c
CHECKED = (512, 768, 12288)  # inputs, outputs, rows of the layer that is measured on several ranks
LARGE = (28672, 8192, 262144)
BANDWIDTH = 25e9 / 8  # bytes a second, each way
LATENCY = 10e-6
PIECE = 4 << 20


def start(program, mpirun, ranks, *words):
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMPI_MCA_mpi_yield_when_idle="1")
    command = [mpirun, *root, "--oversubscribe", "-n", str(ranks), program, *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def pairs(line):
    words = line.split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2])}


def measure(program, mpirun):
    """Rates: seconds of one addition, and of each kind of work at each fan-in."""
    lines = start(program, mpirun, 1, "rates", *FAN_INS).splitlines()
    return pairs(lines[0])["add"], [pairs(line) for line in lines[1:]]


def at(rates, name, n, power):
    """A rate at fan-in n: between two that were measured along their power law, beyond the largest by 'power', the one that
    the arithmetic has."""
    if n >= rates[-1]["n"]:
        return rates[-1][name] * (n / rates[-1]["n"]) ** power
    if n <= rates[0]["n"]:
        return rates[0][name] * (n / rates[0]["n"]) ** power
    low = max((r for r in rates if r["n"] <= n), key=lambda r: r["n"])
    high = min((r for r in rates if r["n"] > n), key=lambda r: r["n"])
    share = math.log(n / low["n"]) / math.log(high["n"] / low["n"])
    return low[name] ** (1 - share) * high[name] ** share


class Model:
    """Seconds of one layer (inputs n, outputs m, rows) on some nodes, term by term."""

    def __init__(self, add, rates, speed=1.0):
        self.add, self.rates, self.speed = add / speed, rates, speed

    def rate(self, name, n, power):
        return at(self.rates, name, n, power) / self.speed

    @staticmethod
    def numbers(n, m):
        return 8 + n * (n + 1) // 2 + n + m * (n + 2)

    def terms(self, n, m, rows, nodes, shards=None, parts=None):
        shards, parts = shards or nodes, parts or nodes
        levels = math.ceil(math.log2(nodes)) if nodes > 1 else 0
        numbers, each = self.numbers(n, m), math.ceil(shards / nodes)
        whole = 8.0 * numbers
        moved = whole * (1 - 1 / nodes)
        result = m * (n + 200.0) * (1 - 1 / nodes)  # codes, and what there is of a channel besides
        hops = levels * (LATENCY + PIECE / BANDWIDTH)
        slowest = math.ceil(parts / nodes)
        alone = nodes == 1 and shards == 1
        return {
            "rows into H": each / shards * rows * self.rate("h", n, 2),
            "rows into P": each / shards * rows * m * self.rate("p", n, 1),
            "preparing H": slowest * self.rate("prepare", n, 3),
            "solving channels": slowest / parts * m * self.rate("channel", n, 2),
            "numbers out of and into statistics": 0.0 if alone else numbers * self.rate("move", n, 0),
            "adding in the tree": 0.0 if alone else numbers * self.add * ((each - 1) + (1 - 1 / nodes)),
            "sending in the tree": (moved / BANDWIDTH + hops) if nodes > 1 else 0.0,
            "spreading the sum": (moved / BANDWIDTH + hops) if nodes > 1 else 0.0,
            "spreading the result": (result / BANDWIDTH + parts * levels * LATENCY * 4) if nodes > 1 else 0.0,
        }


def check(model, program, mpirun):
    """Sets the model beside what ranks on this machine need and send."""
    n, m, rows = CHECKED
    print(f"| ranks | rows: measured s | model | solve: measured s | model | sent: measured MB | model | came: measured MB | model |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for ranks in RANKS:
        got = pairs(start(program, mpirun, ranks, "run", n, m, rows))
        terms = model.terms(n, m, rows, ranks, SHARDS, PARTS)
        moved = 8e-6 * model.numbers(n, m) * (1 - 1 / ranks)
        rows_model = terms["rows into H"] + terms["rows into P"]
        solve_model = terms["preparing H"] + terms["solving channels"]
        print(f"| {ranks} | {got['accumulate']:.3f} | {rows_model:.3f} | {got['optimize']:.3f} | {solve_model:.3f} | "
              f"{got['sent'] / 1e6:.2f} | {moved:.2f} | {got['came'] / 1e6:.2f} | {moved:.2f} |")
    print()


def line(what, alone, together, nodes):
    total = sum(together.values())
    largest = max(together, key=together.get)
    speedup = alone / total
    print(f"| {what} | {nodes} | {alone:.0f} | {total:.1f} | {speedup:.0f} | {largest}: {together[largest] / total:.0%} |")
    return speedup


def clusters(add, rates):
    n, m, rows = LARGE
    print("| job | nodes | one node, s | all nodes, s | times as fast | largest term |")
    print("| --- | --- | --- | --- | --- | --- |")
    kept = []
    for speed in (1, 8, 32):
        model = Model(add, rates, speed)
        alone = sum(model.terms(n, m, rows, 1).values())
        name = f"{m} x {n}, nodes {speed} x this one" if speed > 1 else f"{m} x {n}"
        kept.append(line(name, alone, model.terms(n, m, rows, 64), 64))
        # 80 layers in teams: each layer's rows and channels over the ranks of one team
        teams = 80
        kept.append(line(f"80 of them, teams of {1024 // teams}" + (f", nodes {speed} x" if speed > 1 else ""),
                         80 * alone, model.terms(n, m, rows, 1024 // teams), 1024))
    print()
    print("Terms of one layer on 64 nodes, seconds:")
    for name, seconds in sorted(Model(add, rates).terms(n, m, rows, 64).items(), key=lambda term: -term[1]):
        print(f"    {name:36s} {seconds:10.2f}")
    return kept


def main():
    program, mpirun = sys.argv[1:3]
    add, rates = measure(program, mpirun)
    print(f"An addition takes {add * 1e9:.2f} ns. Seconds of one rank, one thread, 4 bits, default effort:\n")
    print("| fan-in | a row into H | a row and channel into P | preparing H | solving a channel | moving a number |")
    print("| --- | --- | --- | --- | --- | --- |")
    for r in rates:
        print(f"| {r['n']:.0f} | {r['h']:.3g} | {r['p']:.3g} | {r['prepare']:.3g} | {r['channel']:.3g} | {r['move']:.3g} |")
    print()
    check(Model(add, rates), program, mpirun)
    kept = clusters(add, rates)
    wanted = kept[0] >= 40 and kept[1] >= 500
    print(f"\nwanted: 40 times on 64 nodes and 500 on 1024: {'kept' if wanted else 'NOT kept'}")


if __name__ == "__main__":
    main()
