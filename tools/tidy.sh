#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy over every source of the library and the programs, one job per processor; prints what it finds and, as
# last line, the sum over files.   tools/tidy.sh BUILD   BUILD: a folder set up with clang
set -uo pipefail
cd "$(dirname "$0")/.."
build=$1

results=$(git ls-files 'src/*.c' | xargs -P "$(nproc)" -I{} sh -c '
  found=$(clang-tidy --quiet -p "$1" "{}" 2>/dev/null) && echo "passed {}" || printf "%s\nfailed {}\n" "$found"' sh "$build")
grep -v '^passed ' <<<"$results"
passed=$(grep -c '^passed ' <<<"$results")
failed=$(grep -c '^failed ' <<<"$results")
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
