#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The peers that `make bench` and `make bench-peers` measure against, in a virtual environment of Python's: ONNX Runtime,
# Captum, lime and Quantus from PyPI, by name and version, over Debian's PyTorch. Says what it does, does nothing when
# all is there.
#   bench/setup_peers.sh FOLDER
set -eu

[ $# = 1 ] || { echo "usage: bench/setup_peers.sh FOLDER" >&2; exit 2; }
folder=$1
python=/usr/bin/python3
pins='onnxruntime==1.32.0 captum==0.8.0 tqdm==4.70.1 lime==0.2.0.1 quantus==0.6.0 pandas==2.0.3
  opencv-python-headless==4.8.1.78'
modules='onnxruntime, captum, lime, quantus, torch, torchvision, onnx, matplotlib'

# Debian's python3-* packages come through --system-site-packages.
if ! [ -x "$folder/bin/python" ]; then
  echo "penumbra: making a virtual environment in $folder"
  $python -m venv --system-site-packages "$folder"
fi
installed=$("$folder/bin/python" -m pip freeze --local 2>/dev/null)
missing=
for pin in $pins; do
  echo "$installed" | grep -qix "$pin" || missing="$missing $pin"
done
if [ -n "$missing" ]; then
  echo "penumbra: installing from PyPI into it:$missing"
  # without their dependencies: what they need is Debian's, and stays so
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps $missing
fi
"$folder/bin/python" -c "import $modules"
