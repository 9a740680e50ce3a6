//! The values as they are stored: types told by dtype and shape, raw rows, damaged blocks.

use super::{hand_made, save, says, tiny};
use folio_engine::checkpoint::{Checkpoint, Dtype, StoredType, TensorSpec, init_tensor, tensors};

fn spec(name: &str, shape: &[usize]) -> TensorSpec {
    TensorSpec {
        name: name.to_owned(),
        shape: shape.to_vec(),
    }
}

/// A file with one U8 tensor `name` of this shape, all bytes zero but those that `change` sets.
fn blocks(name: &str, shape: &[usize], change: impl FnOnce(&mut [u8])) -> Checkpoint {
    let bytes: usize = shape.iter().product();
    let header = format!(r#"{{"{name}":{{"dtype":"U8","shape":{shape:?},"data_offsets":[0,{bytes}]}}}}"#);
    let mut file = hand_made(&header, bytes);
    let start = file.len() - bytes;
    change(&mut file[start..]);
    Checkpoint::from_bytes(file, "h").expect("open")
}

#[test]
fn raw_rows_are_the_bytes_of_the_file() {
    let config = tiny();
    let dir = tempfile::tempdir().expect("folder");
    save(dir.path(), &config, Dtype::F32);
    let checkpoint = Checkpoint::open(dir.path()).expect("open");
    for spec in tensors(&config) {
        assert_eq!(checkpoint.stored_type(&spec).expect("type"), StoredType::F32);
        let values = init_tensor(&config, &spec, 1);
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let (rows, columns) = (spec.rows(), spec.columns());
        assert_eq!(rows * columns, values.len(), "{}", spec.name);
        assert_eq!(checkpoint.stored_rows(&spec, 0..rows).expect("all"), bytes);
        let some = rows / 3..rows - rows / 4;
        let part = &bytes[4 * columns * some.start..4 * columns * some.end];
        assert_eq!(checkpoint.stored_rows(&spec, some.clone()).expect("some"), part);
        assert_eq!(
            checkpoint.read_rows(&spec, some.clone()).expect("some"),
            values[columns * some.start..columns * some.end]
        );
        assert!(checkpoint.stored_rows(&spec, rows..rows).expect("none").is_empty());
        says(
            checkpoint.stored_rows(&spec, 0..rows + 1),
            &[&spec.name, &format!("has {rows} rows")],
        );
        says(checkpoint.read_rows(&spec, usize::MAX - 1..usize::MAX), &["no rows"]);
    }
}

#[test]
fn a_vector_has_a_row_a_value_and_a_patch_embedding_a_row_an_output() {
    assert_eq!((spec("v", &[5]).rows(), spec("v", &[5]).columns()), (5, 1));
    let patch = spec("p.patch_embedding.weight", &[6, 1, 16, 8]);
    assert_eq!((patch.rows(), patch.columns(), patch.is_matrix()), (6, 128, true));
    assert!(!spec("p.position_embedding.weight", &[32, 64]).is_matrix());
    assert!(!spec("norm.weight", &[64]).is_matrix());
}

#[test]
fn quantised_matrices_are_told_by_their_bytes() {
    // Row 1, block 1: d = 0.5 (f16 0x3800).
    let q8 = blocks("w", &[2, 68], |bytes| {
        bytes[68 + 34..68 + 36].copy_from_slice(&[0, 0x38]);
        bytes[68 + 36] = 255;
        bytes[68 + 67] = 100;
    });
    let w = spec("w", &[2, 64]);
    assert_eq!(q8.stored_type(&w).expect("type"), StoredType::Q8_0);
    let values = q8.read_f32(&w).expect("read");
    assert_eq!((values.len(), values[64 + 32], values[64 + 63]), (128, -0.5, 50.0));
    assert_eq!(values.iter().filter(|v| **v != 0.0).count(), 2);
    assert_eq!(q8.stored_rows(&w, 1..2).expect("row").len(), 68);
    assert_eq!(q8.stored_bytes(), 136);

    let q4 = blocks("p.patch_embedding.weight", &[3, 18], |bytes| {
        bytes[36..38].copy_from_slice(&[0, 0x38]);
        bytes[38..54].fill(0x88);
        bytes[39] = 0xf0;
    });
    // A patch of two rows of 16 pixels counts as one row of 32.
    let p = spec("p.patch_embedding.weight", &[3, 1, 2, 16]);
    assert_eq!(q4.stored_type(&p).expect("type"), StoredType::Q4_0);
    let values = q4.read_rows(&p, 2..3).expect("read");
    assert_eq!((values[1], values[17]), (-4.0, 3.5));
    assert_eq!(values.iter().filter(|v| **v != 0.0).count(), 2);
}

#[test]
fn other_bytes_are_no_quantised_matrix() {
    for shape in [&[2, 67][..], &[2, 36, 1], &[136], &[1, 68], &[2, 128], &[]] {
        let file = blocks("w", shape, |_| {});
        let parts = ["tensor w has", "[2, 64] q8_0 has [2, 68] and q4_0 [2, 36]"];
        says(file.stored_type(&spec("w", &[2, 64])), &parts);
        says(file.read_f32(&spec("w", &[2, 64])), &parts);
    }
    let odd = blocks("w", &[2, 34], |_| {});
    says(
        odd.stored_type(&spec("w", &[2, 33])),
        &["rows of 33 values", "blocks of 32"],
    );
    for (name, shape) in [("a.position_embedding.weight", &[2, 32][..]), ("norm.weight", &[32])] {
        says(
            blocks(name, &[2, 34], |_| {}).read_f32(&spec(name, shape)),
            &[name, "stored as U8"],
        );
    }
}

#[test]
fn a_scale_that_is_not_finite_is_named() {
    let w = spec("w", &[600, 96]);
    for (size, bits, shown) in [
        (34, 0x7e01u16, "NaN"),
        (34, 0xfc00, "-inf"),
        (18, 0x7c00, "inf"),
        (18, 0xfe00, "NaN"),
    ] {
        for (row, block) in [(0, 0), (2, 1), (599, 2)] {
            let file = blocks("w", &[600, 3 * size], |bytes| {
                let at = (3 * row + block) * size;
                bytes[at..at + 2].copy_from_slice(&bits.to_le_bytes());
            });
            let what =
                format!("h: tensor w has the scale {shown} in row {row}, block {block}: the weights are damaged");
            says(file.read_f32(&w), &[&what]);
            says(file.stored_rows(&w, row..row + 1), &[&what]);
            assert!(file.stored_rows(&w, row + 1..600).is_ok(), "the other rows are sound");
            assert!(file.stored_type(&w).is_ok());
        }
    }
}
