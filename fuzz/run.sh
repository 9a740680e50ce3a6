#!/bin/sh
# run.sh SECONDS [TARGET…]: builds and runs targets one after another, without cargo-fuzz, with any compiler (coverage, but no
# address sanitizer: the only unsafe code in reach is mapping a file).
set -e
cd "$(dirname "$0")"
seconds=$1
shift
[ $# -gt 0 ] || set -- safetensors gguf session page
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --release --target "$host" --bins
for target in "$@"; do
    mkdir -p "corpus/$target" "artifacts/$target"
    "${CARGO_TARGET_DIR:-target}/$host/release/$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 \
        -artifact_prefix="artifacts/$target/" "corpus/$target"
done
