//! Where weights come from here.

use folio_engine::checkpoint::{Checkpoint, PieceFile, StoredType, TensorSpec};
use folio_engine::gpu::TensorSource;
use folio_engine::{Pending, Result, Wait, ready};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

/// A file that is read and not mapped, as in a browser.
struct Unmapped(File, u64);

impl PieceFile for Unmapped {
    fn name(&self) -> &str {
        "unmapped"
    }

    fn length(&self) -> u64 {
        self.1
    }

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.0.read_exact_at(&mut bytes, range.start).unwrap();
        Ok(bytes)
    }

    fn arrived(&self, _end: u64) -> Pending<'_, ()> {
        ready(Ok(()))
    }
}

/// The checkpoint in `dir`, read piece by piece.
pub(crate) fn unmapped(dir: &Path) -> Checkpoint {
    let file = File::open(dir.join("model.safetensors")).unwrap();
    let length = file.metadata().unwrap().len();
    Checkpoint::from_pieces(vec![Box::new(Unmapped(file, length))])
        .wait()
        .unwrap()
}

/// Reads a tensor whole at its first use, and keeps it: what loading must not do.
pub(crate) struct Hoard {
    checkpoint: Checkpoint,
    held: Mutex<HashMap<String, Vec<u8>>>,
}

impl Hoard {
    pub(crate) fn new(checkpoint: Checkpoint) -> Self {
        Self {
            checkpoint,
            held: Mutex::default(),
        }
    }
}

impl TensorSource for Hoard {
    fn stored_type(&self, spec: &TensorSpec) -> Result<StoredType> {
        self.checkpoint.stored_type(spec)
    }

    fn rows(&self, spec: &TensorSpec, rows: Range<usize>) -> Result<Cow<'_, [u8]>> {
        let mut held = self.held.lock().unwrap();
        if !held.contains_key(&spec.name) {
            let all = self.checkpoint.rows(spec, 0..spec.rows())?.into_owned();
            held.insert(spec.name.clone(), all);
        }
        let width = self.stored_type(spec)?.row_bytes(spec.columns()).unwrap();
        Ok(Cow::Owned(
            held[&spec.name][rows.start * width..rows.end * width].to_vec(),
        ))
    }

    fn values(&self, spec: &TensorSpec) -> Result<Vec<f32>> {
        self.checkpoint.read_f32(spec)
    }
}

/// Weights that are made when they are asked for: nobody holds them.
pub(crate) struct Made(pub(crate) StoredType);

impl TensorSource for Made {
    fn stored_type(&self, spec: &TensorSpec) -> Result<StoredType> {
        Ok(self.0.of(spec))
    }

    fn rows(&self, spec: &TensorSpec, rows: Range<usize>) -> Result<Cow<'_, [u8]>> {
        let width = self.0.of(spec).row_bytes(spec.columns()).unwrap();
        Ok(Cow::Owned(vec![0; rows.len() * width]))
    }

    fn values(&self, spec: &TensorSpec) -> Result<Vec<f32>> {
        Ok(vec![0.0; spec.elements()])
    }
}
