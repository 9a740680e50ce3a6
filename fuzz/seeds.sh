#!/bin/sh
# Seeds for the fuzz targets, in fuzz/corpus. The GGUF file is the one that the engine's tests write.
set -e
cd "$(dirname "$0")"
mkdir -p corpus/safetensors corpus/gguf corpus/session corpus/page
head -c 4096 ../models/folio-nano/model.safetensors > corpus/safetensors/nano
FOLIO_SEEDS="$PWD/corpus" cargo test --release --manifest-path ../Cargo.toml -p folio-engine --test gguf seeds -- --ignored
for text in ../tests/fixtures/*.txt; do { printf '\003'; cat "$text"; } > "corpus/page/$(basename "$text")"; done
