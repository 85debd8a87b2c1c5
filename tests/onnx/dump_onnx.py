#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the onnx package reads from models, as the text that the test tool onnx_dump makes with penumbra's reader:
dump_onnx.py MODEL…"""
import hashlib
import struct
import sys

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

UNSUPPORTED = {TensorProto.STRING: "string", TensorProto.COMPLEX64: "complex64", TensorProto.COMPLEX128: "complex128"}
REAL = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


class Refused(Exception):
    """A model that penumbra refuses; the text is part of its sentence."""


def word(text):
    data = text if isinstance(text, bytes) else text.encode()
    return "".join(chr(c) if 32 < c < 127 and chr(c) not in "%," else "%%%02X" % c for c in data)


def shape(dims):
    return "x".join(str(d) for d in dims)


def element_type(number):
    if number in UNSUPPORTED:
        raise Refused("data type %s is not supported" % UNSUPPORTED[number])
    return number


def tensor(proto):
    element_type(proto.data_type)
    array = numpy_helper.to_array(proto)
    real = proto.data_type in REAL
    array = np.ascontiguousarray(array.astype(np.float32 if real else np.int64))
    return "%s %s %s" % ("float" if real else "int", shape(proto.dims), hashlib.sha256(array.tobytes()).hexdigest())


def bits(value):
    return "%08x" % struct.unpack("<I", struct.pack("<f", value))[0]


def attribute(a):
    if a.type == AttributeProto.INT:
        return "int %d" % a.i
    if a.type == AttributeProto.FLOAT:
        return "float " + bits(a.f)
    if a.type == AttributeProto.STRING:
        return "string " + word(a.s) if b"\0" not in a.s else "other"
    if a.type == AttributeProto.TENSOR:
        return "tensor " + tensor(a.t)
    if a.type == AttributeProto.INTS:
        return " ".join(["ints"] + [str(i) for i in a.ints])
    if a.type == AttributeProto.FLOATS:
        return " ".join(["floats"] + [bits(f) for f in a.floats])
    if a.type == AttributeProto.STRINGS:
        return " ".join(["strings"] + [word(s) for s in a.strings])
    return "other"


def domain(name):
    return "" if name == "ai.onnx" else name


def input_line(value):
    if value.type.WhichOneof("value") != "tensor_type":
        raise Refused("a sequence, map or optional, only tensors are supported")
    kind = value.type.tensor_type
    element_type(kind.elem_type)
    if not kind.HasField("shape"):
        raise Refused("no shape is given")
    dims = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else 0 for d in kind.shape.dim]
    if dims and dims[0] == 0:
        dims[0] = 1
    return "input %s %d %s" % (word(value.name), kind.elem_type, shape(dims))


def lines(model):
    graph = model.graph
    opsets = {domain(o.domain): o.version for o in model.opset_import}
    yield "ir %d opset %d producer %s %s" % (model.ir_version, opsets.get("", 0), word(model.producer_name),
                                            word(model.producer_version))
    for entry in model.metadata_props:
        yield "metadata %s %s" % (word(entry.key), word(entry.value))
    known = {t.name for t in graph.initializer}
    initializers = ["initializer %s %d %s" % (word(t.name), t.data_type, tensor(t)) for t in graph.initializer]
    yield from [input_line(i) for i in graph.input if i.name not in known]
    yield from initializers
    for node in graph.node:
        yield "node %s %d domain %s name %s" % (word(node.op_type), opsets.get(domain(node.domain), 0),
                                                word(domain(node.domain)), word(node.name))
        yield " in " + ",".join(word(i) for i in node.input)
        yield " out " + ",".join(word(o) for o in node.output)
        for a in node.attribute:
            yield " attr %s %s" % (word(a.name), attribute(a))
    yield " outputs " + ",".join(word(o.name) for o in graph.output)


def dump(path):
    """All lines of one model, the first of which names it."""
    text = ["model " + path]
    try:
        return text + list(lines(onnx.load(path)))
    except Refused as reason:
        return text + ["refused " + str(reason)]


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print("\n".join(dump(argument)))
