# SPDX-License-Identifier: Apache-2.0
"""An ONNX graph as a differentiable PyTorch function, in any precision.

The reference for gradients: it runs the file's own weights, so that exporters' rewriting (folded normalisations) does
not come between. Conventions at the kinks are those of METHODS section 0.9: the derivatives of Relu at 0 and of Clip
at its bounds are 0; MaxPool sends the signal to the first maximum in row-major order.
"""
import numpy as np
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper

CAST = {1: None, 6: torch.int64, 7: torch.int64, 9: torch.bool, 11: None}


def ints(tensor):
    return [int(v) for v in tensor.reshape(-1)]


class Net:
    def __init__(self, model, dtype):
        self.model, self.dtype = model, dtype
        self.constants = {t.name: self.tensor(numpy_helper.to_array(t)) for t in model.graph.initializer}
        self.input = [i.name for i in model.graph.input if i.name not in self.constants][0]

    def tensor(self, array):
        value = torch.from_numpy(np.array(array))
        return value.to(self.dtype) if value.is_floating_point() else value if value.dtype == torch.bool \
            else value.to(torch.int64)

    def __call__(self, x, wanted):
        """The tensor named `wanted`."""
        values = dict(self.constants)
        values[self.input] = x
        for node in self.model.graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            inputs = [values[name] if name else None for name in node.input]
            result = getattr(self, node.op_type)(attributes, *inputs) if node.op_type != "Split" \
                else self.Split(attributes, len(node.output), *inputs)
            for name, value in zip(node.output, result if isinstance(result, (tuple, list)) else [result]):
                values[name] = value
            if wanted in node.output:
                return values[wanted]
        raise LookupError(wanted)

    # --- arithmetic ---
    def Add(self, _, a, b):
        return a + b

    def Sub(self, _, a, b):
        return a - b

    def Mul(self, _, a, b):
        return a * b

    def Div(self, _, a, b):
        return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")

    def Mod(self, attributes, a, b):
        return torch.fmod(a, b) if attributes.get("fmod") else torch.remainder(a, b)

    def Pow(self, _, a, b):
        return a ** b.item()

    def Sqrt(self, _, x):
        return x.sqrt()

    def Erf(self, _, x):
        return torch.erf(x)

    def Equal(self, _, a, b):
        return a == b

    def Not(self, _, x):
        return ~x

    def Where(self, _, c, a, b):
        return torch.where(c, a, b)

    def MatMul(self, _, a, b):
        return a @ b

    def Gemm(self, attributes, a, b, c=None):
        a = a.t() if attributes.get("transA") else a
        b = b.t() if attributes.get("transB") else b
        y = attributes.get("alpha", 1.0) * (a @ b)
        return y if c is None else y + attributes.get("beta", 1.0) * c

    def ReduceMean(self, attributes, x):
        return x.mean(tuple(attributes["axes"]), keepdim=bool(attributes.get("keepdims", 1)))

    # --- activations ---
    def Relu(self, _, x):
        return F.relu(x)

    def Clip(self, _, x, low=None, high=None):
        low = -float("inf") if low is None else low.item()
        high = float("inf") if high is None else high.item()
        return torch.where((x > low) & (x < high), x, x.detach().clamp(low, high))

    def Sigmoid(self, _, x):
        return torch.sigmoid(x)

    def HardSigmoid(self, attributes, x):
        y = attributes.get("alpha", 0.2) * x + attributes.get("beta", 0.5)
        return torch.where((y > 0) & (y < 1), y, y.detach().clamp(0, 1))

    def Softmax(self, attributes, x):
        return torch.softmax(x, attributes.get("axis", -1))

    def LogSoftmax(self, attributes, x):
        return torch.log_softmax(x, attributes.get("axis", -1))

    # --- layers ---
    def padded(self, attributes, x, value):
        top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
        return F.pad(x, (left, right, top, bottom), value=value) if top or left or bottom or right else x

    def Conv(self, attributes, x, w, b=None):
        return F.conv2d(self.padded(attributes, x, 0.0), w, b, attributes.get("strides", (1, 1)), 0,
                        attributes.get("dilations", (1, 1)), attributes.get("group", 1))

    def BatchNormalization(self, attributes, x, scale, bias, mean, var):
        return F.batch_norm(x, mean, var, scale, bias, False, 0.0, attributes.get("epsilon", 1e-5))

    def MaxPool(self, attributes, x):
        return F.max_pool2d(self.padded(attributes, x, -float("inf")), attributes["kernel_shape"],
                            attributes.get("strides", (1, 1)), ceil_mode=bool(attributes.get("ceil_mode", 0)))

    def AveragePool(self, attributes, x):
        assert not any(attributes.get("pads", ())) and not attributes.get("ceil_mode"), "AveragePool: pads, ceil_mode"
        return F.avg_pool2d(x, attributes["kernel_shape"], attributes.get("strides", (1, 1)))

    def GlobalAveragePool(self, _, x):
        return x.mean((2, 3), keepdim=True)

    def Dropout(self, _, x, ratio=None, training=None):
        assert ratio is None or ratio.item() == 0 or training is None or not training.item(), "Dropout in training"
        return x

    # --- shapes ---
    def Constant(self, attributes):
        return self.tensor(numpy_helper.to_array(attributes["value"]))

    def ConstantOfShape(self, attributes, shape):
        value = numpy_helper.to_array(attributes["value"])[0] if "value" in attributes else np.float32(0)
        return self.tensor(np.full(ints(shape), value))

    def Shape(self, _, x):
        return torch.tensor(list(x.shape))

    def Cast(self, attributes, x):
        return x.to(CAST[attributes["to"]] or self.dtype)

    def Reshape(self, _, x, shape):
        return x.reshape([x.shape[i] if d == 0 else d for i, d in enumerate(ints(shape))])

    def Flatten(self, attributes, x):
        return x.reshape(int(np.prod(x.shape[:attributes.get("axis", 1)])), -1)

    def Squeeze(self, _, x, axes):
        for axis in sorted((a % x.dim() for a in ints(axes)), reverse=True):
            x = x.squeeze(axis)
        return x

    def Unsqueeze(self, attributes, x, axes=None):
        axes = attributes["axes"] if axes is None else ints(axes)
        rank = x.dim() + len(axes)
        for axis in sorted(a % rank for a in axes):
            x = x.unsqueeze(axis)
        return x

    def Transpose(self, attributes, x):
        return x.permute(attributes.get("perm", tuple(range(x.dim()))[::-1]))

    def Concat(self, attributes, *parts):
        return torch.cat(parts, attributes["axis"])

    def Split(self, attributes, count, x, sizes=None):
        axis = attributes.get("axis", 0)
        return x.split(ints(sizes) if sizes is not None else x.shape[axis] // count, axis)

    def Slice(self, _, x, starts, ends, axes=None, steps=None):
        axes = range(len(starts)) if axes is None else ints(axes)
        for axis, start, end, step in zip(axes, ints(starts), ints(ends), ints(steps) if steps is not None else
                                          [1] * len(starts)):
            at = range(x.shape[axis])[start:end:step] if step > 0 or end > -x.shape[axis] - 1 else \
                range(x.shape[axis])[start::step]
            x = x.index_select(axis, torch.tensor(list(at), dtype=torch.int64))
        return x

    def Gather(self, attributes, x, index):
        axis = attributes.get("axis", 0) % x.dim()
        flat = index.reshape(-1)
        flat = torch.where(flat < 0, flat + x.shape[axis], flat)
        shape = x.shape[:axis] + index.shape + x.shape[axis + 1:]
        return x.index_select(axis, flat).reshape(shape)

    def ScatterND(self, _, x, index, update):
        y = x.clone()
        y[tuple(index.unbind(-1))] = update
        return y

    def Expand(self, _, x, shape):
        return x.expand(torch.broadcast_shapes(x.shape, tuple(ints(shape))))

    def Range(self, _, start, limit, delta):
        return torch.arange(start.item(), limit.item(), delta.item())

    def Pad(self, attributes, x, pads, value=None):
        assert attributes.get("mode", b"constant") == b"constant", "Pad: mode"
        pads, order = ints(pads), []
        for axis in reversed(range(x.dim())):
            order += [pads[axis], pads[axis + x.dim()]]
        return F.pad(x, order, value=0.0 if value is None else value.item())
