//! Checkpoints on disk.
use folio_engine::checkpoint::{Checkpoint, Dtype, init_tensor, tensors, write};
use folio_engine::config::preset;

#[test]
fn f32_files_are_read_back_bit_for_bit() {
    let (config, dir) = (preset("folio-nano").expect("preset"), tempfile::tempdir().expect("folder"));
    let target = dir.path().join("new").join("model");
    write(&target, &tensors(&config), Dtype::F32, &mut |spec| Ok(init_tensor(&config, spec, 1))).expect("write");
    let checkpoint = Checkpoint::open(&target).expect("open");
    checkpoint.check(&config).expect("check");
    for spec in tensors(&config) {
        assert_eq!(checkpoint.read_f32(&spec).expect("read"), init_tensor(&config, &spec, 1), "{}", spec.name);
    }
}
