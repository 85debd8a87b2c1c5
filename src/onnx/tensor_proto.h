/* SPDX-License-Identifier: Apache-2.0 */
/* TensorProto: the numbers of an initializer or of an attribute, in any of the encodings ONNX allows. */
#ifndef PENUMBRA_ONNX_TENSOR_PROTO_H
#define PENUMBRA_ONNX_TENSOR_PROTO_H

#include "onnx/reader.h"
#include "onnx/wire.h"
#include "tensor/tensor.h"

/* float, float16, bfloat16 and double become F32, integers and truth values I64. Float data of 64 KB and more stay in
 * the mapped file, where they may lie unaligned; everything else is copied to the arena, 64-byte aligned. *name is ""
 * where the file gives none. An error begins with the tensor's name. */
bool tensor_proto_read(struct reader *reader, struct wire message, struct tensor *tensor, const char **name,
                       struct error *err);

/* F32 or I64 for a data_type of the file; false with a sentence where penumbra has no use for it. */
bool tensor_proto_dtype(int64_t data_type, enum dtype *dtype, struct error *err);

#endif
