//! What the host holds while a model is loaded onto a GPU: at most one tensor and 64 MiB.
//!
//! A binary of its own, because its allocator counts, and because it looks at the memory of the whole process.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod heap;
mod machine;
mod resident;
mod sources;

use folio_engine::Wait;
use folio_engine::checkpoint::{Checkpoint, StoredType, tensors, write_stored};
use folio_engine::config::Config;
use folio_engine::gpu::{GpuRunner, Machine, MemoryPlan, TensorSource};
use folio_engine::session::self_test as known;
use machine::Forgetful;
use sources::{Hoard, unmapped};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting::new();

/// Beside one tensor.
const MARGIN: usize = 64 << 20;

/// One test at a time: what is measured is the process's.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 52 million parameters, in tensors of at most 2 million.
fn config() -> Config {
    let mut config = known::config();
    let text = &mut config.text;
    (text.vocab_size, text.hidden_size, text.intermediate_size) = (2048, 512, 2048);
    (text.num_attention_heads, text.num_key_value_heads, text.head_dim) = (8, 8, 64);
    text.num_hidden_layers = 12;
    config
}

/// Bytes of the largest tensor and of all, stored as `stored`.
fn sizes(config: &Config, stored: StoredType) -> (usize, usize) {
    let bytes = tensors(config)
        .into_iter()
        .map(|spec| spec.rows() * stored.of(&spec).row_bytes(spec.columns()).unwrap());
    bytes.fold((0, 0), |(most, all), bytes| (most.max(bytes), all + bytes))
}

/// A folder with the model's weights, all of them a half.
fn folder(dir: &Path, config: &Config, stored: StoredType) {
    write_stored(dir, &tensors(config), stored, u64::MAX, &mut |spec, to| {
        to.push(&vec![0.5; spec.elements()])
    })
    .unwrap();
}

/// Loads onto a GPU that keeps nothing, and says how far the heap rose above where it was.
fn rise(config: &Config, source: Box<dyn TensorSource>) -> usize {
    let plan = MemoryPlan::new(config, source.as_ref(), 64).unwrap();
    let before = HEAP.restart();
    let runner = GpuRunner::new(Forgetful::new(), config, source, 64, &mut |_, _| {})
        .wait()
        .unwrap();
    let rise = HEAP.peak() - before;
    assert!(
        runner.machine().uploaded >= plan.weights && runner.machine().counts().buffer_bytes >= plan.total(),
        "not all of the weights came"
    );
    rise
}

/// Weights that the system maps from their file are not on the heap: it drops them when it likes. The others are.
#[test]
fn loading_holds_one_tensor_and_a_little() {
    let _turn = alone();
    let config = config();
    for stored in [StoredType::BF16, StoredType::F16, StoredType::Q8_0, StoredType::Q4_0] {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path(), &config, stored);
        let (largest, all) = sizes(&config, stored);
        let mapped = rise(&config, Box::new(Checkpoint::open(dir.path()).unwrap()));
        let pieces = rise(&config, Box::new(unmapped(dir.path())));
        println!("{stored}: {all} bytes, mapped {mapped}, unmapped {pieces}");
        for (how, rise) in [("mapped", mapped), ("unmapped", pieces)] {
            assert!(
                rise <= largest + MARGIN,
                "{stored}, {how}: the heap rose by {rise} bytes"
            );
        }
    }
}

/// The same measure of a source that reads all weights and keeps them: the test above can fail.
#[test]
fn a_source_that_keeps_what_it_read_is_noticed() {
    let _turn = alone();
    let (config, stored) = (config(), StoredType::BF16);
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path(), &config, stored);
    let (largest, all) = sizes(&config, stored);
    assert!(all > largest + MARGIN, "the model is too small for this test");
    let rise = rise(&config, Box::new(Hoard::new(unmapped(dir.path()))));
    assert!(
        rise > largest + MARGIN,
        "all weights were kept, the heap rose by {rise} bytes"
    );
}
