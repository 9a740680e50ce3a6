#![allow(clippy::unwrap_used, dead_code, unused)]
mod adapter;
mod end_to_end;
mod faults;
mod sampling;
mod twins;

pub(crate) struct TempDir(std::path::PathBuf);
impl TempDir { pub(crate) fn new() -> Self { let p = std::env::temp_dir().join(format!("parity-{}", std::process::id())); std::fs::create_dir_all(&p).unwrap(); Self(p) } pub(crate) fn path(&self) -> &std::path::Path { &self.0 } }
impl Drop for TempDir { fn drop(&mut self) { let _ = std::fs::remove_dir_all(&self.0); } }
fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let all: &[(&str, fn())] = &[
        ("end_to_end::every_shape_of_model_gives_the_logits_of_the_burn_runner", end_to_end::every_shape_of_model_gives_the_logits_of_the_burn_runner as fn()),
        ("end_to_end::matrices_in_shards_are_the_same_matrices", end_to_end::matrices_in_shards_are_the_same_matrices as fn()),
        ("end_to_end::stored_types_give_the_logits_of_the_burn_runner", end_to_end::stored_types_give_the_logits_of_the_burn_runner as fn()),
        ("end_to_end::kv_that_grows_keeps_what_it_holds", end_to_end::kv_that_grows_keeps_what_it_holds as fn()),
        ("end_to_end::the_bundled_model_gives_the_logits_of_the_burn_runner", end_to_end::the_bundled_model_gives_the_logits_of_the_burn_runner as fn()),
        ("end_to_end::the_bundled_model_writes_the_same_256_tokens_over_folds", end_to_end::the_bundled_model_writes_the_same_256_tokens_over_folds as fn()),
        ("end_to_end::random_models_write_the_same_256_tokens_over_folds", end_to_end::random_models_write_the_same_256_tokens_over_folds as fn()),
        ("twins::the_program_on_the_twins_is_the_burn_model", twins::the_program_on_the_twins_is_the_burn_model as fn()),
        ("twins::matrices_in_shards_are_the_same_matrices", twins::matrices_in_shards_are_the_same_matrices as fn()),
        ("twins::sessions_on_the_twins_write_what_sessions_on_burn_write", twins::sessions_on_the_twins_write_what_sessions_on_burn_write as fn()),
    ];
    let (mut ok, mut bad) = (0, 0);
    for (name, test) in all { if !name.contains(&filter) { continue; }
        let t = std::time::Instant::now();
        match std::panic::catch_unwind(*test) { Ok(()) => { ok += 1; println!("test {name} ... ok ({:.1} s)", t.elapsed().as_secs_f32()); } Err(_) => { bad += 1; println!("test {name} ... FAILED ({:.1} s)", t.elapsed().as_secs_f32()); } } }
    println!("{ok} passed, {bad} failed");
}
