//! Checkpoints on disk: what is written is read back, what is damaged is refused, nothing half-written is left.

mod convert;
mod damage;
mod files;
mod initial;
mod names;
mod pieces;
mod shards;
mod stored;

use folio_engine::Error;
use folio_engine::checkpoint::{Dtype, init_tensor, tensors, write};
use folio_engine::config::{Config, preset};
use std::path::Path;

/// A model of a few thousand parameters.
fn tiny() -> Config {
    let mut config = preset("folio-nano").expect("preset");
    config.text.vocab_size = 32;
    config.text.hidden_size = 16;
    config.text.intermediate_size = 24;
    config.text.num_hidden_layers = 2;
    config.text.num_attention_heads = 4;
    config.text.num_key_value_heads = 2;
    config.text.head_dim = 6;
    let fold = config.fold.as_mut().expect("fold");
    let vision = &mut fold.vision;
    (vision.hidden_size, vision.intermediate_size) = (12, 20);
    (vision.num_hidden_layers, vision.num_attention_heads) = (1, 2);
    (vision.num_channels, vision.patch_height, vision.patch_width) = (1, 16, 160);
    (vision.image_height, vision.image_width) = (256, 320);
    fold.visual_tokens = 32;
    fold.chunk_tokens = 128;
    config.validate("tiny").expect("valid");
    config
}

fn save(dir: &Path, config: &Config, dtype: Dtype) {
    write(dir, &tensors(config), dtype, &mut |spec| {
        Ok(init_tensor(config, spec, 1))
    })
    .expect("write");
}

fn listing(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("folder");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The result is an error of one line that says all of `parts`.
fn says<T>(result: Result<T, Error>, parts: &[&str]) {
    let Err(error) = result else {
        panic!("must be refused: {parts:?}")
    };
    let error = error.to_string();
    assert!(!error.contains('\n'), "{error}");
    for part in parts {
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }
}

/// A safetensors file with this header and `data` zero bytes after it.
fn hand_made(header: &str, data: usize) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes()[..],
        header.as_bytes(),
        &vec![0; data],
    ]
    .concat()
}
