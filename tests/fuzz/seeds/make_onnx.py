#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of two fuzz targets beside this file: onnx/, small models that between them hold every field the
reader reads, sound and not; graph/, small sound networks that between them use every family of operators.
Needs python3-onnx and numpy."""
import os

import numpy as np
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))


def varint(n):
    n &= 2**64 - 1
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def save(name, model, folder="onnx"):
    data = model if isinstance(model, bytes) else model.SerializeToString()
    os.makedirs(os.path.join(HERE, folder), exist_ok=True)
    with open(os.path.join(HERE, folder, name + ".onnx"), "wb") as file:
        file.write(data)


def info(name, shape=(), kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, initializers=(), inputs=None, outputs=None, opset=13, **more):
    graph = helper.make_graph(nodes, "g", inputs or [info("x", ["N", 1, 2, 2])], outputs or [info("y")],
                              list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more)


def node(op, inputs=("x",), outputs=("y",), **attributes):
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def files():
    weights = np.arange(4, dtype=np.float32).reshape(2, 1, 1, 2)
    conv = node("Conv", ["x", "w"], name="conv", kernel_shape=[1, 2], pads=[0, 0, 0, 1], group=1, auto_pad="NOTSET")
    m = model([conv], [numpy_helper.from_array(weights, "w")], producer_name="seed", producer_version="1")
    helper.set_model_props(m, {"labels": "a,b"})
    save("conv", m)

    for name, kind, values in [("float", TensorProto.FLOAT, [1.5, -2]), ("double", TensorProto.DOUBLE, [1.5, -2]),
                               ("half", TensorProto.FLOAT16, [1.5, -2]), ("int8", TensorProto.INT8, [-1, 2]),
                               ("bool", TensorProto.BOOL, [0, 1]), ("int64", TensorProto.INT64, [-1, 2]),
                               ("uint64", TensorProto.UINT64, [1, 2]), ("uint32", TensorProto.UINT32, [1, 2]),
                               ("string", TensorProto.STRING, [b"a", b"b"]),
                               ("complex", TensorProto.COMPLEX64, [1, 2])]:
        save("typed_" + name, model([node("Add", ["x", "w"])], [helper.make_tensor("w", kind, [2], values)]))
    for kind in (np.float64, np.float16, np.uint8, np.int16, np.int32, np.uint64, np.bool_):
        tensor = numpy_helper.from_array(np.array([[1, 2], [3, 0]], dtype=kind), "w")
        save("raw_" + np.dtype(kind).name, model([node("Add", ["x", "w"])], [tensor]))
    tensor = TensorProto(name="w", data_type=TensorProto.BFLOAT16, dims=[2], raw_data=b"\x80\x3f\x00\x40")
    save("raw_bfloat16", model([node("Add", ["x", "w"])], [tensor]))
    # One number an entry where the schema packs, and the other way round.
    base = model([node("Add", ["x", "w"])])
    graph = base.graph.SerializeToString()
    base.ClearField("graph")
    unpacked = b"\x08\x02" + b"\x10\x01" + b"\x25\0\0\x80\x3f" + b"\x25\0\0\0\x40" + field(8, b"w")
    packed = field(1, b"\x01\x02") + b"\x10\x07" + field(7, b"\x01\x02") + field(8, b"w")
    for name, tensor in (("unpacked", unpacked), ("packed", packed)):
        save(name, base.SerializePartialToString() + field(7, graph + field(5, tensor)))

    body = helper.make_graph([node("Relu", ["x"], ["b"])], "body", [], [info("b")])
    everything = node("Identity", f=0.5, i=-3, s="text", t=helper.make_tensor("", TensorProto.INT64, [1], [7]), g=body,
                      floats=[1.0, 2.0], ints=[1, 2, 3], strings=["a", "b"], graphs=[body, body],
                      tensors=[helper.make_tensor("", TensorProto.FLOAT, [], [1.0])])
    save("attributes", model([everything]))
    for _ in range(5):
        body = helper.make_graph([helper.make_node("If", ["c"], ["b"], then_branch=body, else_branch=body)], "nest", [],
                                 [info("b")])
    save("nested", model([helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body)]))

    save("inputs", model([node("Add", ["x", "w"])], [helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])],
                         [info("x", [None, 3, "H", "W"]), info("w", [1]), info("i", [2, 0], TensorProto.INT32)]))
    sequence = helper.make_value_info("x", helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [2])))
    save("sequence", model([node("Identity")], inputs=[sequence]))
    m = model([node("Split", ["x", ""], ["", "y"], axis=1), node("Mine", ["y"], ["z"], domain="com.example")])
    m.opset_import.append(helper.make_opsetid("com.example", 2))
    save("domains", m)
    save("unordered", model([node("Relu", ["m"], ["y"]), node("Relu", ["x"], ["m"])]))
    save("cyclic", model([node("Add", ["x", "m"], ["y"]), node("Relu", ["y"], ["m"])]))
    save("dead", model([node("Relu"), node("Relu", ["y"], ["z"]), node("Relu", ["v"], ["u"]),
                        node("Relu", ["u"], ["v"])]))
    save("twice", model([node("Relu"), node("Relu")]))
    save("nowhere", model([node("Relu", ["nothing"])]))
    external = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "w.bin"), ("offset", "8"), ("length", "8")):
        external.external_data.add(key=key, value=value)
    save("external", model([node("Add", ["x", "w"])], [external]))
    m = model([node("Relu")])
    m.graph.sparse_initializer.add().dims.extend([2])
    save("sparse", m)
    save("pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    save("empty", b"")
    save("cut", model([node("Relu")]).SerializeToString()[:-5])


def network(name, shape, steps, weights=None, opset=13):
    """Nodes in a row: each step is (operator, further inputs, attributes), reads what the one before made, and may be
    read by later ones as v0 (the input), v1, …; weights by name."""
    nodes = []
    for i, (op, more, attributes) in enumerate(steps):
        outputs = ["v%d" % (i + 1)] + (["v%d_1" % (i + 1)] if op == "Split" else [])
        nodes.append(helper.make_node(op, ["v%d" % i] + more, outputs, **attributes))
    tensors = [numpy_helper.from_array(np.asarray(w), n) for n, w in (weights or {}).items()]
    save(name, model(nodes, tensors, [info("v0", shape)], [info("v%d" % len(steps))], opset), "graph")


def ramp(*shape):
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def ints(*values):
    return np.array(values, dtype=np.int64)


def networks():
    per_channel = {n: np.abs(ramp(4)) + 1 for n in ("scale", "shift", "mean", "var")}
    network("convnet", ["N", 2, 6, 6], [
        ("Conv", ["w1", "b1"], dict(pads=[1, 1, 1, 1])), ("BatchNormalization", list(per_channel), {}),
        ("Relu", [], {}),
        ("MaxPool", [], dict(kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)), ("Conv", ["w2"], dict(group=4)),
        ("Add", ["v4"], {}), ("Clip", ["low", "high"], {}), ("GlobalAveragePool", [], {}), ("Flatten", [], {}),
        ("Gemm", ["w3", "b3"], dict(transB=1)), ("Softmax", [], dict(axis=1))],
        dict(w1=ramp(4, 2, 3, 3), b1=ramp(4), w2=ramp(4, 1, 1, 1), w3=ramp(3, 4), b3=ramp(3), low=np.float32(0),
             high=np.float32(6), **per_channel))
    network("attention", ["N", 4, 6], [
        ("MatMul", ["w"], {}), ("Reshape", ["heads"], {}), ("Transpose", [], dict(perm=[0, 2, 1, 3])),
        ("Transpose", [], dict(perm=[0, 1, 3, 2])), ("MatMul", ["v3"], {}), ("Softmax", [], dict(axis=-1)),
        ("ReduceMean", [], dict(axes=[-1], keepdims=1)), ("Sub", ["v6"], {}), ("Pow", ["two"], {}), ("Sqrt", [], {}),
        ("Erf", [], {}), ("Squeeze", ["axis"], {})],
        dict(w=ramp(6, 6), heads=ints(0, 4, 2, 3), two=np.float32(2), axis=ints(0)))
    network("shapes", ["N", 3, 4, 4], [
        ("Flatten", [], {}), ("Shape", [], {}), ("Gather", ["first"], dict(axis=0)), ("Unsqueeze", ["zero"], {}),
        ("Concat", ["rest"], dict(axis=0)), ("ConstantOfShape", [], {}), ("Add", ["v1"], {})],
        dict(first=np.int64(0), zero=ints(0), rest=ints(48)))
    network("cut", ["N", 4, 5, 5], [
        ("Split", ["halves"], dict(axis=1)), ("Concat", ["v1_1", "v1"], dict(axis=1)),
        ("Slice", ["from", "to", "axes", "steps"], {}), ("Pad", ["pads", "half"], dict(mode="constant")),
        ("Pad", ["pads"], dict(mode="reflect")), ("Resize", ["", "scales"], dict(mode="nearest")),
        ("DepthToSpace", [], dict(blocksize=1)), ("Tile", ["once"], {}), ("Expand", ["once"], {})],
        {"halves": ints(1, 3), "from": ints(-1, 0), "to": ints(-9, 4), "axes": ints(2, 3), "steps": ints(-1, 2),
         "pads": ints(0, 0, 1, 0, 0, 0, 0, 1), "half": np.float32(0.5), "scales": np.float32([1, 1, 2, 1.5]),
         "once": ints(1, 1, 1, 1)})
    network("elementwise", ["N", 3, 2, 2], [
        ("Mul", ["c"], {}), ("Sigmoid", [], {}), ("Div", ["c"], {}), ("Tanh", [], {}), ("HardSwish", [], {}),
        ("LeakyRelu", [], {}), ("Elu", [], {}), ("PRelu", ["c"], {}), ("Exp", [], {}), ("Softplus", [], {}),
        ("Log", [], {}), ("Abs", [], {}), ("Neg", [], {}), ("Max", ["c", "v3"], {})],
        dict(c=np.abs(ramp(3, 1, 1)) + 1), opset=14)
    network("norms", ["N", 4, 3, 3], [
        ("LRN", [], dict(size=3)), ("InstanceNormalization", ["scale", "shift"], {}),
        ("LpPool", [], dict(kernel_shape=[2, 2])),
        ("AveragePool", [], dict(kernel_shape=[2, 2], pads=[1, 1, 0, 0], count_include_pad=1)),
        ("LayerNormalization", ["last"], dict(axis=-1)), ("GlobalMaxPool", [], {}), ("LogSoftmax", [], dict(axis=1))],
        dict(scale=np.abs(ramp(4)) + 1, shift=ramp(4), last=np.ones(2, np.float32)), opset=17)
    network("quantised", ["N", 2, 3], [
        ("QuantizeLinear", ["s", "z"], {}), ("DequantizeLinear", ["s", "z"], {}),
        ("ReduceSum", ["axis"], dict(keepdims=0)),
        ("ArgMax", [], dict(axis=1)), ("Cast", [], dict(to=TensorProto.FLOAT)), ("Greater", ["s"], {}),
        ("Cast", [], dict(to=TensorProto.FLOAT))], dict(s=np.float32(0.1), z=np.uint8(128), axis=ints(2)))
    network("einsum", ["N", 2, 3, 3], [
        ("Einsum", ["e"], dict(equation="nchw,cd->ndwh")), ("ReduceMax", [], dict(axes=[2, 3], keepdims=0)),
        ("Gemm", ["g"], {})], dict(e=ramp(2, 3), g=ramp(3, 2)))


files()
networks()
