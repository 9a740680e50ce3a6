#!/bin/sh
# Seeds for the fuzz targets, in fuzz/corpus. The GGUF file is the one that the engine's tests write.
set -e
cd "$(dirname "$0")"
mkdir -p corpus/safetensors corpus/gguf corpus/session corpus/page
head -c 4096 ../models/folio-nano/model.safetensors > corpus/safetensors/nano
# A whole file: two tensors that the targets' model has, and zeros.
norm='"language_model.model.norm.weight":{"dtype":"F32","shape":[256],"data_offsets":[0,1024]}'
bias='"aligner.bias":{"dtype":"F16","shape":[256],"data_offsets":[1024,1536]}'
header="{$norm,$bias}"
{ printf "\\$(printf %o ${#header})\\0\\0\\0\\0\\0\\0\\0%s" "$header"; head -c 1536 /dev/zero; } > corpus/safetensors/whole
# Sessions of the targets' model: with nothing read again, with a page, with the end of the newest.
start='{"format":"folio-session","model":"model","fonts":"fonts","context":"folded","stop":["END"],"ignore_eos":false,"shown":true,"full":false,
"sampling":{"repetition_penalty":1.0,"temperature":0.8,"top_k":0,"top_p":0.95,"min_p":0.0,"seed":3},"rng_position":12,
"ops":[{"op":"part","kind":"raw"},{"op":"extend","tokens":1,"times":1},{"op":"keep"},{"op":"part","kind":"prompt"},{"op":"fold","tokens":[4,3]}'
end=',{"op":"part","kind":"response"},{"op":"extend","tokens":1,"times":2}],"tokens":[0,104,101,108,108,111,32,105,116,46]'
printf '%s%s,"version":1}' "$start" "$end" > corpus/session/plain
printf '%s,{"op":"unfold","pages":[0]}%s,"version":2,"unfold":1}' "$start" "$end" > corpus/session/unfolding
printf '%s,{"op":"unfold","pages":[]}%s,"version":2}' "$start" "$end" > corpus/session/rereading
FOLIO_SEEDS="$PWD/corpus" cargo test --release --manifest-path ../Cargo.toml -p folio-engine --test gguf seeds -- --ignored
for text in ../tests/fixtures/*.txt; do { printf '\003'; cat "$text"; } > "corpus/page/$(basename "$text")"; done
