#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Forward passes in ONNX Runtime: the twin of forward.c.

usage: peers_ort.py MODEL INPUT.npy THREADS OUTPUT.npy

All graph optimisations are on, the input is handed over without a copy, threads spin as they do by default.
"""
import sys
import time

import numpy as np
import onnxruntime

import worker


def main():
    model, path, threads, output = sys.argv[1:]
    start = time.monotonic()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    loaded = time.monotonic()
    feed = {session.get_inputs()[0].name: np.load(path)}
    read = time.monotonic()
    scores = session.run(None, feed)[0]
    first = time.monotonic()
    np.save(output, scores)
    worker.say(load=loaded - start, first=first - read, peak_kib=worker.status("VmHWM"),
               version=onnxruntime.__version__)
    worker.serve(lambda: session.run(None, feed))


if __name__ == "__main__":
    main()
