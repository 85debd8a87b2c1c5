#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run the fuzz targets of a build made with -Dfuzz=true, one after the other: run.sh BUILD SECONDS [TARGET…]
# Inputs that reach new code are kept in BUILD/corpus; an input that fails is left in BUILD/findings and named.
set -eu

build=$1 seconds=$2
shift 2
tree=$(cd "$(dirname "$0")/../.." && pwd)
if [ $# = 0 ]; then
  for file in "$tree"/tests/fuzz/fuzz_*.c; do
    name=${file##*/fuzz_}
    set -- "$@" "${name%.c}"
  done
fi

failed=0
for name; do
  mkdir -p "$build/corpus/$name" "$build/findings"
  echo "fuzz $name: $seconds s"
  log=$build/fuzz-$name.log
  if "$build/tests/fuzz-$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="$build/findings/$name-" "$build/corpus/$name" "$tree/tests/fuzz/seeds/$name" >"$log" 2>&1; then
    grep -E 'number_of_executed_units|peak_rss_mb' "$log"
  else
    tail -n 40 "$log"
    echo "fuzz $name: failed; the input is in $build/findings, the whole report in $log"
    failed=1
  fi
done
exit $failed
