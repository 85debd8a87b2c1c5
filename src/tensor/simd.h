/* SPDX-License-Identifier: Apache-2.0 */
/* For loops that the compiler vectorises: one source, a version for each instruction set, chosen when the library is
 * loaded. Expressions are not contracted (ISO C mode), so that every version of an element-wise loop gives the same
 * bits. Sanitizers instrument the choosing function too, which runs before they are ready: there is one version then.
 */
#ifndef PENUMBRA_TENSOR_SIMD_H
#define PENUMBRA_TENSOR_SIMD_H

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&          \
    !defined(__SANITIZE_THREAD__)
#define SIMD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define SIMD_CLONES
#endif

#endif
