# SPDX-License-Identifier: Apache-2.0
"""What the peers on PyTorch share: torchvision's module with the file's weights, a picture, and turns (worker.h).

Requests beside those of worker.h:  set {"layout": "contiguous"|"channels_last", "folded": BOOL, …}  where folded means
batch norms folded into convolutions, as they are in the file; what else can be set is the work's own. "save": true
writes what the last piece of work gave.
"""
import time

import numpy as np
import torch
from PIL import Image

import worker
from peers_captum import models

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Work:
    """A piece of work on a model; subclasses say what it is."""

    def __init__(self, pair, picture):
        self.pair = pair
        self.codes = np.asarray(Image.open(picture).convert("RGB"))
        self.mean = torch.tensor(MEAN).view(1, 3, 1, 1)
        self.std = torch.tensor(STD).view(1, 3, 1, 1)
        self.result = None
        self.change()

    def change(self, layout="contiguous", folded=False, **options):
        formatted = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        model = self.pair[0 if folded else 1].to(memory_format=formatted)
        self.model = lambda images: model(images.contiguous(memory_format=formatted))
        self.module, self.format = model, formatted
        return self.choose(**options)

    def input(self):
        """[1, 3, H, W] in the model's values."""
        return self.normalised(self.codes[None])

    def normalised(self, codes):
        """[n, 3, H, W] of [n, H, W, 3]."""
        return (torch.from_numpy(codes).permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std

    def choose(self, **options):
        raise NotImplementedError

    def run(self):
        raise NotImplementedError

    def save(self, path):
        np.save(path, np.asarray(self.result, np.float32))


def serve(kind, name, path, picture, threads, output, *arguments, **about):
    torch.set_num_threads(int(threads))
    start = time.monotonic()
    work = kind(models(name, path), picture, *arguments)
    loaded = time.monotonic()
    worker.reset_peak()
    worker.say(load=loaded - start, torch=torch.__version__, threads=torch.get_num_threads(), **about)

    def run():
        work.result = work.run()

    def change(save=False, **options):
        if save:
            work.save(output)
            return {}
        return work.change(**options) or {}

    worker.serve(run, change)
