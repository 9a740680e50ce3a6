//! `recipes/README.md` has every key of a recipe, and no other.

use super::Recipe;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const README: &str = include_str!("../../recipes/README.md");
const SOURCES: [&str; 3] = [
    include_str!("mod.rs"),
    include_str!("chunks.rs"),
    include_str!("curriculum.rs"),
];
/// The heading under which the README has the fields of a struct as the rows of a table.
const TABLES: [(&str, &str); 10] = [
    ("Recipe", "## Top level"),
    ("DataRecipe", "## `[data]`"),
    ("SetRecipe", "## `[[data.set]]`"),
    ("StageRecipe", "## `[[stage]]`"),
    ("LrRecipe", "### `stage.lr`"),
    ("AuxRecipe", "### `stage.aux`"),
    ("CurriculumStep", "### `stage.curriculum`"),
    ("EvalRecipe", "## `[eval]`"),
    ("CheckpointRecipe", "## `[checkpoint]`"),
    ("LogRecipe", "## `[log]`"),
];

/// The public fields of every public struct of the sources that has any.
fn fields() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut found: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let mut inside = None;
    for line in SOURCES.iter().flat_map(|source| source.lines()) {
        if let Some(name) = line.strip_prefix("pub struct ") {
            inside = name.strip_suffix(" {");
        } else if line == "}" {
            inside = None;
        } else if let (Some(name), Some(field)) = (inside, line.strip_prefix("    pub ")) {
            let (field, _) = field.split_once(':').unwrap();
            found.entry(name).or_default().insert(field);
        }
    }
    found
}

/// What stands in the README under `heading`, up to the next one.
fn section(heading: &str) -> Vec<&'static str> {
    let lines = README.lines().skip_while(|line| *line != heading).skip(1);
    lines.take_while(|line| !line.starts_with('#')).collect()
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let mut fields = fields();
    for (name, heading) in TABLES {
        let rows = section(heading);
        let keys: BTreeSet<&str> = rows
            .iter()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
            .map(|(key, _)| key)
            .collect();
        assert_eq!(
            Some(keys),
            fields.remove(name),
            "left: rows under \"{heading}\", right: fields of {name}"
        );
    }
    // `ChunkRange` is written as a number or as a list of two.
    let range = section("### Ranges").join("\n");
    for field in fields.remove("ChunkRange").unwrap() {
        assert!(range.contains(&format!("`{field}`")), "{field}");
    }
    assert!(fields.is_empty(), "structs that are under no heading: {fields:?}");
}

/// All `.toml` files in and below the folder of the recipes.
fn recipes() -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes")]);
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|e| e == "toml") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn the_recipes_that_come_along_are_sound() {
    let found = recipes();
    for path in &found {
        Recipe::load(path).unwrap();
    }
    let proxies = found.iter().filter(|path| path.parent().unwrap().ends_with("proxy"));
    assert!(proxies.count() >= 4 && found.len() >= 11, "{found:?}");
}

#[test]
fn the_example_of_the_reference_is_a_recipe() {
    let (_, rest) = README.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    assert_eq!(Recipe::parse(example, "README.md").unwrap().stage.len(), 2);
}

#[test]
fn the_papers_batches_are_reached_on_its_eight_gpus() {
    for (name, wanted) in [("0.6b", 64..=64), ("4b", 8..=16), ("8b", 8..=16)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("recipes/vist2-{name}.toml"));
        for stage in Recipe::load(&path).unwrap().stage {
            let step = 8 * stage.batch * stage.accumulate;
            assert!(wanted.contains(&step), "{name}: {step}");
        }
    }
}
