/* SPDX-License-Identifier: Apache-2.0 */
/* Fault injection: run something with its 1st, 2nd, 3rd … allocation failing until it gets through. */
#ifndef PENUMBRA_TESTS_FAULT_H
#define PENUMBRA_TESTS_FAULT_H

#include "base/error.h"
#include "base/mem.h"
#include "unit.h"

#include <jansson.h>

enum { FAULT_MOST = 100000 }; /* a call with more allocations than this is not tried to its end */

/* Run `call`, an expression of type bool that reports to a `struct error` named `err`, until it is true; each time it
 * is false it must have said so in `err`, and `undo` (a statement, for what a success made) is not run. `failures`
 * counts the allocations that were made to fail.
 *
 *   FAULT_LOOP(npy_read(path, 0, &array, &err), npy_free(&array));
 */
#define FAULT_LOOP(call, undo)                                                                                         \
  do {                                                                                                                 \
    uint64_t failures = 0;                                                                                             \
    for (;; failures++) {                                                                                              \
      struct error err = {0};                                                                                          \
      assert_true(failures < FAULT_MOST);                                                                              \
      mem_fail_after(failures + 1);                                                                                    \
      bool done = (call);                                                                                              \
      mem_fail_after(0);                                                                                               \
      if (done) {                                                                                                      \
        assert_int_equal(err.code, ERROR_NONE);                                                                        \
        undo;                                                                                                          \
        break;                                                                                                         \
      }                                                                                                                \
      assert_int_not_equal(err.code, ERROR_NONE);                                                                      \
      assert_true(err.message[0] != '\0');                                                                             \
    }                                                                                                                  \
    assert_true(failures > 0);                                                                                         \
  } while (0)

/* Let jansson's allocations fail with the others. To be called before anything of jansson's exists. */
static inline void fault_include_jansson(void)
{
  json_set_alloc_funcs(mem_alloc, mem_free);
}

#endif
