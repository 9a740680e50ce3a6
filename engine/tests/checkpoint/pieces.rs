//! Files that arrive piece by piece.

use super::{save, tiny};
use folio_engine::checkpoint::{Checkpoint, Dtype, PieceFile, tensors};
use folio_engine::{Error, Pending, Result, Wait, ready};
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

/// A file of which only what was waited for can be read, and that breaks off at `broken`.
struct Late {
    bytes: Vec<u8>,
    here: Cell<u64>,
    broken: u64,
    /// The longest piece that was asked for.
    longest: Rc<RefCell<u64>>,
}

impl PieceFile for Late {
    fn name(&self) -> &str {
        "late"
    }

    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        assert!(range.end <= self.here.get(), "read before it arrived: {range:?}");
        let mut longest = self.longest.borrow_mut();
        *longest = longest.max(range.end - range.start);
        Ok(self.bytes[range.start as usize..range.end as usize].to_vec())
    }

    fn arrived(&self, end: u64) -> Pending<'_, ()> {
        self.here.set(self.here.get().max(end));
        ready(match end > self.broken {
            true => Err(Error::invalid("late", "the download broke off")),
            false => Ok(()),
        })
    }
}

fn late(bytes: &[u8], broken: u64) -> (Vec<Box<dyn PieceFile>>, Rc<RefCell<u64>>) {
    let longest = Rc::new(RefCell::new(0));
    let file = Late {
        bytes: bytes.to_vec(),
        here: Cell::new(0),
        broken,
        longest: longest.clone(),
    };
    (vec![Box::new(file)], longest)
}

#[test]
fn tensors_are_read_as_soon_as_they_are_there_and_are_those_of_the_file() {
    let dir = tempfile::tempdir().expect("folder");
    let config = tiny();
    save(dir.path(), &config, Dtype::F16);
    let bytes = std::fs::read(dir.path().join("model.safetensors")).expect("read");
    let whole = Checkpoint::open(dir.path()).expect("open");
    let (files, longest) = late(&bytes, u64::MAX);
    let found = Checkpoint::from_pieces(files).wait().expect("opens");
    found.check(&config).expect("the same tensors");
    let mut largest = 0;
    for spec in tensors(&config) {
        found.arrived(&spec).wait().expect("arrives");
        let right = whole.stored_rows(&spec, 0..spec.rows()).expect("read");
        assert_eq!(found.stored_rows(&spec, 0..spec.rows()).expect("read"), right);
        largest = largest.max(right.len() as u64);
    }
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight"));
    assert!(
        *longest.borrow() <= largest.max(header),
        "more than one tensor at a time"
    );
}

#[test]
fn what_does_not_come_is_an_error_and_a_short_file_is_told_before_its_tensors_come() {
    let dir = tempfile::tempdir().expect("folder");
    let config = tiny();
    save(dir.path(), &config, Dtype::F32);
    let bytes = std::fs::read(dir.path().join("model.safetensors")).expect("read");
    let (files, _) = late(&bytes, bytes.len() as u64 - 1);
    let found = Checkpoint::from_pieces(files).wait().expect("the header is there");
    let errors: Vec<String> = tensors(&config)
        .iter()
        .filter_map(|spec| found.arrived(spec).wait().err())
        .map(|e| e.to_string())
        .collect();
    assert_eq!(errors, ["late: the download broke off"]);
    for cut in [0, 7, 100, bytes.len() - 1] {
        let (files, _) = late(&bytes[..cut], u64::MAX);
        let error = Checkpoint::from_pieces(files)
            .wait()
            .expect_err("truncated")
            .to_string();
        assert!(error.contains("is truncated"), "{error}");
    }
}
