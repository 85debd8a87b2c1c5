#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hugging Face configurations (NAME/preprocessor_config.json) and what transformers' own classes make of a picture.

NAME.npy is the class's pixel_values [C, H, W], every `step`-th row and column of it. The picture is wide.png of the
folder preprocess. Needs transformers 4.49 (PyPI) and Pillow 9.4; the slow classes, which resize by Pillow, are asked.
Figures are small where the class allows it; the switches are those of published models of each kind.
"""
import json
import os

import numpy as np
from PIL import Image
from transformers import AutoImageProcessor

HERE = os.path.dirname(os.path.abspath(__file__))
STANDARD = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
STEPS = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}

CASES = {
    "vit": {"image_processor_type": "ViTImageProcessor", **STEPS, **HALF, "resample": 2,
            "size": {"height": 24, "width": 20}},
    "vit_old": {"feature_extractor_type": "ViTFeatureExtractor", "do_normalize": True, "do_resize": True, **HALF,
                "resample": 2, "size": 24},
    "deit_old": {"feature_extractor_type": "DeiTFeatureExtractor", "do_normalize": True, "do_resize": True, **STANDARD,
                 "do_center_crop": True, "crop_size": 24, "resample": 3, "size": 30},
    "beit": {"image_processor_type": "BeitImageProcessor", **STEPS, **HALF, "do_center_crop": True, "resample": 2,
             "crop_size": {"height": 22, "width": 22}, "size": {"height": 28, "width": 24}},
    "clip": {"image_processor_type": "CLIPImageProcessor", **STEPS, **STANDARD, "do_center_crop": True,
             "do_convert_rgb": True, "crop_size": {"height": 24, "width": 24}, "size": {"shortest_edge": 24},
             "resample": 3},
    "clip_old": {"feature_extractor_type": "CLIPFeatureExtractor", "do_normalize": True, "do_resize": True, **STANDARD,
                 "do_center_crop": True, "crop_size": 24, "size": 24, "resample": 3},
    "bit": {"image_processor_type": "BitImageProcessor", **STEPS, **STANDARD, "do_center_crop": True,
            "do_convert_rgb": True, "crop_size": {"height": 22, "width": 22}, "size": {"shortest_edge": 26},
            "resample": 3},
    "small": {"image_processor_type": "CLIPImageProcessor", **STEPS, **STANDARD, "do_center_crop": True,
              "crop_size": {"height": 27, "width": 23}, "size": {"shortest_edge": 20}, "resample": 2},
    "convnext_small": {"image_processor_type": "ConvNextImageProcessor", **STEPS, **STANDARD, "crop_pct": 0.875,
                       "size": {"shortest_edge": 28}, "resample": 3},
    "convnext_old": {"feature_extractor_type": "ConvNextFeatureExtractor", "do_normalize": True, "do_resize": True,
                     **STANDARD, "crop_pct": 0.875, "size": 28, "resample": 3},
    "convnext_large": {"image_processor_type": "ConvNextImageProcessor", **STEPS, **STANDARD, "crop_pct": None,
                       "size": {"shortest_edge": 384}, "resample": 3},
    "mobilenet_v2": {"image_processor_type": "MobileNetV2ImageProcessor", **STEPS, **HALF, "do_center_crop": True,
                     "crop_size": {"height": 28, "width": 28}, "size": {"shortest_edge": 32}, "resample": 2},
    "mobilevit": {"image_processor_type": "MobileViTImageProcessor", "do_resize": True, "do_rescale": True,
                  "rescale_factor": 1 / 255, "do_center_crop": True, "do_flip_channel_order": True,
                  "crop_size": {"height": 24, "width": 24}, "size": {"shortest_edge": 28}, "resample": 2},
    "levit": {"image_processor_type": "LevitImageProcessor", **STEPS, **STANDARD, "do_center_crop": True,
              "crop_size": {"height": 28, "width": 28}, "size": {"shortest_edge": 28}, "resample": 3},
    "poolformer": {"image_processor_type": "PoolFormerImageProcessor", **STEPS, **STANDARD, "do_center_crop": True,
                   "crop_pct": 0.9, "crop_size": {"height": 28, "width": 28}, "size": {"shortest_edge": 28},
                   "resample": 3},
    "efficientnet": {"image_processor_type": "EfficientNetImageProcessor", **STEPS, "image_mean": [0.485, 0.456, 0.406],
                     "image_std": [0.4785, 0.4733, 0.4743], "include_top": True, "rescale_offset": False,
                     "do_center_crop": False, "crop_size": {"height": 20, "width": 20},
                     "size": {"height": 24, "width": 24}, "resample": 0},
    "efficientnet_offset": {"image_processor_type": "EfficientNetImageProcessor", "do_resize": True, "do_rescale": True,
                            "rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False,
                            "include_top": False, "size": {"height": 24, "width": 24}, "resample": 2},
    "siglip": {"image_processor_type": "SiglipImageProcessor", **STEPS, **HALF, "do_convert_rgb": None,
               "size": {"height": 24, "width": 24}, "resample": 3},
}


def main():
    picture = Image.open(os.path.join(HERE, "..", "preprocess", "wide.png"))
    for name, config in CASES.items():
        folder = os.path.join(HERE, name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "preprocessor_config.json"), "w", encoding="utf-8") as f:
            f.write(json.dumps(config, indent=1) + "\n")
        processor = AutoImageProcessor.from_pretrained(folder, use_fast=False)
        x = processor(picture, return_tensors="np")["pixel_values"][0].astype("f4")
        step = 1 + x.shape[1] // 64
        np.save(os.path.join(HERE, name + ".npy"), x[:, ::step, ::step])
        print(name, type(processor).__name__, x.shape, step)


if __name__ == "__main__":
    main()
