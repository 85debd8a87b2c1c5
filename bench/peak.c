/* SPDX-License-Identifier: Apache-2.0 */
/* The peak that everything is measured against: products of 1024 x 1024 matrices with packed weights.
 *
 *   bench-peak THREADS [SECONDS]
 *
 * {"threads", "library", "f32": GF/s, "f32_cpu": GF per CPU second, "bf16", "bf16_cpu": the same, or null}
 * The best of many short pieces: what the machine can do, not what it had left to give. */
#include "base/mem.h"
#include "base/threads.h"
#include "tensor/compute.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 1024, PIECE = 4 };

struct peak {
  double wall, cpu; /* GF/s, per second and per CPU second of one thread */
};

static bool measure(struct compute *compute, enum number number, double seconds, struct peak *peak, struct error *err)
{
  const size_t count = (size_t)SIDE * SIDE, bytes = count * (number == NUMBER_F32 ? sizeof(float) : sizeof(uint16_t));
  const size_t raw_bytes = count * sizeof(float);
  const struct matmul_spec spec = {
    .b = 1, .m = SIDE, .k = SIDE, .n = SIDE, .weights_shared = true, .src = number, .dst = number,
  };
  float *raw = mem_map(raw_bytes);
  void *src = mem_map(bytes), *dst = mem_map(bytes), *scratch = NULL;
  struct weights *weights = raw ? weights_new(raw, NULL) : NULL;
  struct kernel *kernel = NULL;
  bool ok = (src && dst && weights) || error_memory(err, "matrices");
  for (size_t i = 0; ok && i < count; i++)
    raw[i] = (float)(i % 7) * 0.125f - 0.375f;
  if (ok)
    memset(src, 0x3c, bytes); /* a small positive number in either type */
  ok = ok && (kernel = kernel_matmul(compute, &spec, weights, err)) != NULL;
  if (ok && kernel_scratch(kernel))
    ok = (scratch = mem_map(kernel_scratch(kernel))) != NULL || error_memory(err, "scratch memory");
  *peak = (struct peak){0, 0};
  const double flop = 2.0 * SIDE * SIDE * SIDE * PIECE, end = worker_wall() + seconds;
  double total = 0, total_cpu = 0;
  for (int i = 0; ok && (i < 3 || worker_wall() < end); i++) {
    const double wall = worker_wall(), cpu = worker_cpu();
    for (int k = 0; ok && k < PIECE; k++)
      ok = kernel_run(kernel, src, NULL, NULL, dst, scratch, err);
    const double took = worker_wall() - wall;
    if (i > 0) { /* the first warms up */
      peak->wall = flop / took * 1e-9 > peak->wall ? flop / took * 1e-9 : peak->wall;
      total += flop;
      total_cpu += worker_cpu() - cpu;
    }
  }
  peak->cpu = total_cpu > 0 ? total / total_cpu * 1e-9 : 0;
  if (kernel)
    mem_unmap(scratch, kernel_scratch(kernel));
  kernel_free(kernel);
  weights_free(weights);
  mem_unmap(raw, raw_bytes);
  mem_unmap(src, bytes);
  mem_unmap(dst, bytes);
  return ok;
}

int main(int argc, char **argv)
{
  struct error err = {ERROR_NONE};
  struct peak f32, bf16 = {0, 0};
  char version[64];
  if (argc < 2 || argc > 3) {
    (void)fputs("usage: bench-peak THREADS [SECONDS]\n", stderr);
    return 2;
  }
  threads_use(atoi(argv[1]));
  const double seconds = argc > 2 ? atof(argv[2]) : 1;
  struct compute *compute = compute_open(&err);
  bool ok = compute && measure(compute, NUMBER_F32, seconds, &f32, &err) &&
            (!compute_has_bf16() || measure(compute, NUMBER_BF16, seconds, &bf16, &err));
  compute_close(compute);
  if (!ok)
    return worker_fail("bench-peak", &err);
  compute_version(version, sizeof version);
  printf("{\"threads\": %d, \"library\": \"%s\", \"f32\": %.1f, \"f32_cpu\": %.1f, ", threads_used(), version, f32.wall,
         f32.cpu);
  if (bf16.wall > 0)
    printf("\"bf16\": %.1f, \"bf16_cpu\": %.1f}\n", bf16.wall, bf16.cpu);
  else
    printf("\"bf16\": null, \"bf16_cpu\": null}\n");
  return 0;
}
