#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run a test program and mend its TAP: cmocka 1.1 says "not ok 3 # SKIP name" of a skipped test, which by the TAP
# specification has failed; "ok 3 - name # SKIP" is what it means.
set -o pipefail
export CMOCKA_MESSAGE_OUTPUT=TAP
export ASAN_OPTIONS="allocator_may_return_null=1:detect_stack_use_after_return=1:$ASAN_OPTIONS" # too big is NULL
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1:$UBSAN_OPTIONS"
"$@" | sed -u -E 's/^not ok ([0-9]+) # SKIP (.*)$/ok \1 - \2 # SKIP/'
