# SPDX-License-Identifier: Apache-2.0
"""Processes that take turns, and what their figures look like in a table."""
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

TURN = 0.3          # s: a shorter work is done several times in a turn
FOREIGN = 0.05      # of the machine that others may take during a turn
# glibc then keeps freed blocks instead of giving every large one back to the system.
TUNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 26)}


def busy_seconds():
    """CPU time that all processes, and the host, have taken of this machine."""
    with open("/proc/stat", encoding="ascii") as f:
        fields = [int(v) for v in f.readline().split()[1:]]
    idle = fields[3] + fields[4]
    return (sum(fields[:8]) - idle) / os.sysconf("SC_CLK_TCK")


class Contender:
    """A process that does its work when it is told to; the other side of worker.h."""

    def __init__(self, options, command, threads, environment=None):
        self.options = options
        everything = dict(os.environ, OMP_NUM_THREADS=str(threads), **(environment or {}))
        started = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=everything)
        self.ready = self.answer()
        self.spawned = time.monotonic() - started  # from nothing to the first result
        self.turns, self.disturbed, self.each, self.peak = [], 0, 1, 0

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a contender ended: %s" % " ".join(self.process.args))
        return json.loads(line)

    def ask(self, request):
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        return self.answer()

    def change(self, **settings):
        return self.ask("set " + json.dumps(settings))

    def turn(self, times=None):
        """Seconds of one piece of work, and whether the machine was ours meanwhile."""
        times = times or self.each
        busy = busy_seconds()
        figures = self.ask("run %d" % times)
        foreign = busy_seconds() - busy - figures["cpu"]
        self.peak = figures["peak_kib"]
        self.busy = figures["cpu"] / figures["wall"]
        quiet = foreign <= FOREIGN * figures["wall"] * os.cpu_count() + 0.03
        return figures[self.options.clock] / times, quiet or self.options.clock == "cpu"

    def warm_up(self, seconds=TURN):
        self.turn(1)
        took, _ = self.turn(1)
        self.each = max(1, round(seconds / max(took, 1e-6)))

    def reset(self):
        self.turns, self.disturbed = [], 0

    def count_turn(self):
        for _ in range(self.options.patience):
            seconds, quiet = self.turn()
            if quiet:
                break
        self.disturbed += not quiet
        self.turns.append(seconds)

    @property
    def seconds(self):
        return statistics.median(self.turns)

    @property
    def spread(self):
        return (max(self.turns) - min(self.turns)) / self.seconds

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Variant(Contender):
    """Another way of working of a contender that runs already."""

    def __init__(self, owner, settings):
        self.options, self.owner, self.settings = owner.options, owner, settings
        self.turns, self.disturbed, self.each, self.peak = [], 0, 1, 0

    def ask(self, request):
        return self.owner.ask(request)

    def turn(self, times=None):
        self.owner.change(**self.settings)
        return super().turn(times)

    def close(self):
        pass


def duel(contenders, repeats, seconds=TURN):
    for contender in contenders:
        contender.warm_up(seconds)
    for _ in range(repeats):
        for contender in contenders:
            time.sleep(0.02)  # threads of the last one stop spinning
            contender.count_turn()


# ---- tables ----------------------------------------------------------------------------------------------------------

def mebibytes(kib):
    return "%.0f" % (kib / 1024)


def percent(share):
    return "%.0f %%" % (100 * share)


def times(ratio):
    return "%.2f" % ratio


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def progress(text):
    print(text, file=sys.stderr, flush=True)


def ranks(values):
    order = np.argsort(values, kind="stable")
    out = np.empty(len(values))
    out[order] = np.arange(len(values))
    return out
