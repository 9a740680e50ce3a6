//! Many files and their index.

use super::{listing, save, says, tiny};
use folio_engine::checkpoint::{Checkpoint, Dtype, init_tensor, tensors, write_shards};

#[test]
fn shards_are_read_as_one() {
    let (config, dir) = (tiny(), tempfile::tempdir().expect("folder"));
    save(dir.path(), &config, Dtype::F32);
    let specs = tensors(&config);
    write_shards(dir.path(), &specs, Dtype::F32, 20_000, &mut |spec| {
        Ok(init_tensor(&config, spec, 2))
    })
    .expect("write");
    let files = listing(dir.path());
    assert!(files.len() > 3, "{files:?}");
    assert!(
        files.contains(&format!("model-00001-of-{:05}.safetensors", files.len() - 1)),
        "{files:?}"
    );
    assert!(
        !files.contains(&"model.safetensors".to_owned()),
        "the older single file would shadow the shards"
    );
    let checkpoint = Checkpoint::open(dir.path()).expect("open");
    checkpoint.check(&config).expect("check");
    for spec in &specs {
        assert_eq!(checkpoint.read_f32(spec).expect("read"), init_tensor(&config, spec, 2));
    }
    save(dir.path(), &config, Dtype::F16);
    assert!(!listing(dir.path()).contains(&"model.safetensors.index.json".to_owned()));
}

#[test]
fn shards_that_disagree_with_their_index_are_refused() {
    let (config, dir) = (tiny(), tempfile::tempdir().expect("folder"));
    let specs = tensors(&config);
    let fresh = || {
        write_shards(dir.path(), &specs, Dtype::F32, 20_000, &mut |s| {
            Ok(init_tensor(&config, s, 2))
        })
        .expect("write");
    };
    fresh();
    let shards: Vec<String> = listing(dir.path())
        .into_iter()
        .filter(|name| name.contains("-of-"))
        .collect();
    let index = dir.path().join("model.safetensors.index.json");
    let edit = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = serde_json::from_slice(&std::fs::read(&index).expect("read")).expect("JSON");
        change(&mut json);
        std::fs::write(&index, json.to_string()).expect("write");
    };
    std::fs::copy(dir.path().join(&shards[0]), dir.path().join(&shards[1])).expect("copy");
    says(Checkpoint::open(dir.path()), &[&shards[1], "another shard holds too"]);
    fresh();
    std::fs::remove_file(dir.path().join(&shards[1])).expect("remove");
    says(Checkpoint::open(dir.path()), &["cannot read", &shards[1]]);
    fresh();
    edit(&|json| json["weight_map"]["aligner.weight"] = shards[0].clone().into());
    says(Checkpoint::open(dir.path()), &["aligner.weight", "it is not there"]);
    fresh();
    edit(&|json| {
        drop(
            json["weight_map"]
                .as_object_mut()
                .expect("map")
                .remove("aligner.weight"),
        )
    });
    says(Checkpoint::open(dir.path()), &["does not list tensor aligner.weight"]);
    for outside in ["../model.safetensors", "/model.safetensors", "a/b", "..", ""] {
        fresh();
        edit(&|json| json["weight_map"]["aligner.weight"] = outside.into());
        says(Checkpoint::open(dir.path()), &["must be a file name"]);
    }
    std::fs::write(&index, "{\"weight_map\": {}}").expect("write");
    says(Checkpoint::open(dir.path()), &["lists no tensor"]);
    std::fs::write(&index, "{\"weight_map\": 3}").expect("write");
    says(Checkpoint::open(dir.path()), &["is no valid index"]);
}
