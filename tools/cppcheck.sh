#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# cppcheck over every source; prints what it finds and, as last line, the number of files with and without findings.
set -uo pipefail
cd "$(dirname "$0")/.."

mapfile -t files < <(git ls-files 'src/*.c')
found=$(cppcheck --std=c11 --enable=warning,portability --inline-suppr --quiet -j "$(nproc)" -I src -I include \
  --library=tools/cppcheck.cfg -D_GNU_SOURCE -D__BYTE_ORDER__=1234 -D__ORDER_BIG_ENDIAN__=4321 --suppress=missingIncludeSystem \
  --template='{file}:{line}: {severity}: {message} [{id}]' "${files[@]}" 2>&1)
[ -n "$found" ] && echo "$found"
failed=$(grep -oE '^src/[^:]+' <<<"$found" | sort -u | wc -l)
[ -n "$found" ] && [ "$failed" = 0 ] && failed=1
echo "$((${#files[@]} - failed)) passed, $failed failed, 0 skipped"
[ "$failed" = 0 ] && [ ${#files[@]} != 0 ]
