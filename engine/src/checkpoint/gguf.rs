//! A GGUF file as a checkpoint: its tensors under their Hugging Face names.

use super::StoredType;
use super::header::{Declared, Entry};
use super::read::{Checkpoint, Source};
use crate::gguf::{GgmlType, Gguf, TensorInfo};
use crate::{Error, Result};
use std::path::Path;

impl Checkpoint {
    /// Opens a GGUF file.
    pub(super) fn open_gguf(path: &Path) -> Result<Self> {
        let (gguf, map) = Gguf::map(path)?;
        Self::of_gguf(&gguf, Source::Mapped(map))
    }

    /// The tensors of `gguf`, which lie in `source`.
    pub(super) fn of_gguf(gguf: &Gguf, source: Source) -> Result<Self> {
        let mut checkpoint = Self::empty(gguf.place().to_owned());
        checkpoint.plan = "its metadata";
        checkpoint.add(source, entries(gguf)?, gguf.place())?;
        Ok(checkpoint)
    }
}

/// The tensors by their Hugging Face names; what has none keeps its own, and is refused when the model is checked.
fn entries(gguf: &Gguf) -> Result<Vec<(String, Entry)>> {
    let architecture = gguf.text("general.architecture")?.unwrap_or_default();
    let head = match gguf.size(&format!("{architecture}.attention.key_length"))? {
        Some(head) => head,
        None => {
            let of = |key: &str| gguf.size(&format!("{architecture}.{key}"));
            let heads = of("attention.head_count")?.unwrap_or(0);
            of("embedding_length")?.unwrap_or(0).checked_div(heads).unwrap_or(0)
        }
    };
    // llama.cpp rotates neighbouring values of "llama" models, and its converter orders the rows of their heads to suit.
    let interleaved = |name: &str| {
        let query_or_key = name.contains(".attn_q.") || name.contains(".attn_k.");
        (architecture == "llama" && query_or_key).then_some(head)
    };
    let mut entries = Vec::new();
    for tensor in gguf.tensors() {
        let entry = entry(tensor, interleaved(&tensor.name));
        if entry.interleaved.is_some_and(|head| {
            head < 2 || head % 2 != 0 || !tensor.shape.first().is_some_and(|rows| rows.is_multiple_of(head))
        }) {
            let what = format!("tensor {} has no whole heads of {head} rows", tensor.name);
            return Err(Error::invalid(gguf.place(), what));
        }
        entries.push((hf_name(&tensor.name).unwrap_or_else(|| tensor.name.clone()), entry));
    }
    Ok(entries)
}

fn entry(tensor: &TensorInfo, interleaved: Option<usize>) -> Entry {
    let (stored, range) = match &tensor.data {
        Ok((kind, range)) => (Ok(stored(*kind)), range.clone()),
        Err(name) => (Err(name.clone()), 0..0),
    };
    Entry {
        file: 0,
        dtype: Declared::Gguf(stored),
        shape: tensor.shape.clone(),
        range,
        interleaved,
    }
}

fn stored(kind: GgmlType) -> StoredType {
    match kind {
        GgmlType::F32 => StoredType::F32,
        GgmlType::F16 => StoredType::F16,
        GgmlType::Bf16 => StoredType::BF16,
        GgmlType::Q8_0 => StoredType::Q8_0,
        GgmlType::Q4_0 => StoredType::Q4_0,
        GgmlType::Q4_1 => StoredType::Q4_1,
        GgmlType::Q5_0 => StoredType::Q5_0,
        GgmlType::Q4K => StoredType::Q4K,
        GgmlType::Q6K => StoredType::Q6K,
    }
}

/// Where row `row` of a query or key projection lies in the file of a "llama" model: in a head of `head` rows, the file has
/// the first row of the first half, the first of the second half, the second of the first half, …
pub(super) fn file_row(row: usize, head: usize) -> usize {
    let (start, row) = (row / head * head, row % head);
    let half = head / 2;
    start + 2 * (row % half) + row / half
}

/// The Hugging Face name of a tensor of the architectures that are read.
fn hf_name(name: &str) -> Option<String> {
    match name {
        "token_embd.weight" => return Some("model.embed_tokens.weight".into()),
        "output_norm.weight" => return Some("model.norm.weight".into()),
        "output.weight" => return Some("lm_head.weight".into()),
        _ => {}
    }
    let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
    let (part, kind) = part.rsplit_once('.')?;
    let part = match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    };
    Some(format!("model.layers.{layer}.{part}.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::file_row;

    /// llama.cpp's `permute`: a head's rows as `[2, half]`, transposed to `[half, 2]`.
    #[test]
    fn rows_are_where_the_converter_put_them() {
        for head in [2, 4, 64] {
            let mut file = Vec::new();
            for start in [0, head, 2 * head] {
                for j in 0..head / 2 {
                    file.extend([start + j, start + head / 2 + j]);
                }
            }
            for row in 0..3 * head {
                assert_eq!(file[file_row(row, head)], row, "row {row} of heads of {head}");
            }
        }
    }
}
