//! Reading a recipe.

use super::Recipe;
use crate::{Error, Result};
use std::path::Path;

impl Recipe {
    /// Reads and checks the recipe at `path`.
    ///
    /// # Errors
    /// A file that cannot be read, is not TOML, has an unknown key or a value out of range; file, line and key are named.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let place = path.display().to_string();
        let text = std::str::from_utf8(&bytes)
            .map_err(|e| Error::invalid(&place, format!("byte {} is not UTF-8", e.valid_up_to() + 1)))?;
        Self::parse(text, &place)
    }

    /// Parses and checks a recipe; `place` names it in errors.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, place: &str) -> Result<Self> {
        let recipe: Self = toml::from_str(text).map_err(|e| {
            let line = e
                .span()
                .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let place = line.map_or_else(|| place.to_owned(), |line| format!("{place}, line {line}"));
            Error::invalid(place, e.message().replace('\n', " "))
        })?;
        recipe.check(place)?;
        Ok(recipe)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use crate::compute::{Compute, Precision};
    use crate::data::{Memory, SampleKind};
    use crate::recipe::{ChunkRange, check_chunks};
    use folio_engine::config::{Config, preset};

    pub(crate) const RECIPE: &str = r#"
model = "folio-nano"
tokenizer = "tok"
out = "run"
[data]
train = ["a.txt"]
[[stage]]
kind = "read"
steps = 10
batch = 4
chunks = 2
lr = { vision = 1e-3, aligner = 1e-3 }
aux = { cells = 1.0 }
[[stage]]
kind = "olm"
steps = 20
batch = 3
chunks = [2, 4]
ocr_share = 0.3
lr = { embedding = 1e-3, language_model = 1e-3 }
curriculum = [{ until_step = 5, chunks = 1 }]
"#;

    fn error(from: &str, to: &str) -> String {
        assert!(RECIPE.contains(from));
        Recipe::parse(&RECIPE.replacen(from, to, 1), "r.toml")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_recipe_with_its_defaults() {
        let recipe = Recipe::parse(RECIPE, "r.toml").unwrap();
        assert_eq!(recipe.stage[0].kind, SampleKind::Read);
        assert_eq!(recipe.stage[0].lr.language_model, 0.0);
        assert_eq!(recipe.stage[1].chunks, ChunkRange { min: 2, max: 4 });
        assert_eq!(recipe.stage[1].clip_norm, 1.0);
        assert_eq!((recipe.stage[1].first_weight, recipe.stage[1].first_tokens), (1.0, 1));
        assert_eq!(recipe.stage[1].chunk_tokens, None);
        assert_eq!(recipe.checkpoint.keep, 2);
    }

    #[test]
    fn the_recipes_that_come_along_are_sound() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        let (mut found, mut with_model) = (0, 0);
        let entries = |folder: &Path| std::fs::read_dir(folder).unwrap();
        for entry in entries(&folder).chain(entries(&folder.join("proxy"))) {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "toml") {
                let recipe = Recipe::load(&path).unwrap();
                // Models are named from the repository's root.
                let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&recipe.model);
                let file = || Config::from_json(&std::fs::read_to_string(model).ok()?, "config.json").ok();
                if let Some(config) = preset(&recipe.model).or_else(file) {
                    check_chunks(&recipe, &config, &recipe.model).unwrap();
                    with_model += 1;
                }
                found += 1;
            }
        }
        assert!(found >= 11 && with_model >= 7, "{found} recipes, {with_model} models");
    }

    #[test]
    fn how_steps_are_computed_is_two_keys() {
        assert_eq!(Recipe::parse(RECIPE, "r.toml").unwrap().compute(), Compute::default());
        let text = format!("precision = \"bf16\"\nactivation_checkpointing = true\n{RECIPE}");
        let compute = Recipe::parse(&text, "r.toml").unwrap().compute();
        assert_eq!(
            (compute.precision, compute.activation_checkpointing),
            (Precision::Bf16, true)
        );
        assert!(error("out =", "precision = \"fp8\"\nout =").contains("fp8"));
    }

    #[test]
    fn typos_are_named_with_their_line() {
        let typo = error("batch = 4", "bacth = 4");
        assert!(typo.contains("r.toml, line 10") && typo.contains("bacth"), "{typo}");
        assert_eq!(typo.lines().count(), 1);
        assert!(error("vision = 1e-3", "visoin = 1e-3").contains("visoin"));
        assert!(error("kind = \"read\"", "kind = \"capture\"").contains("line 8"));
        assert!(error("steps = 10", "steps = \"ten\"").contains("line 9"));
        assert!(error("model = \"folio-nano\"", "").contains("model"));
        assert!(error("[data]", "[data").contains("line 5"));
    }

    #[test]
    fn a_control_is_the_same_recipe_with_one_more_key() {
        for memory in Memory::ALL {
            let text = format!("memory = \"{}\"\n{RECIPE}", memory.name());
            let recipe = Recipe::parse(&text, "r.toml").unwrap();
            assert_eq!((recipe.memory, recipe.stage.len()), (memory, 2));
        }
        assert!(error("out =", "memory = \"videos\"\nout =").contains("videos"));
        let streamed = RECIPE.replace("[data]", "memory = \"shuffled_pages\"\n[data]\nstream = true");
        let refused = |text: &str| Recipe::parse(text, "r.toml").unwrap_err().to_string();
        assert!(refused(&streamed).contains("memory"));
        let read_only = RECIPE.split("[[stage]]\nkind = \"olm\"").next().unwrap_or_default();
        assert!(refused(&format!("memory = \"none\"\n{read_only}")).contains("no pages"));
    }

    #[test]
    fn values_out_of_range_are_named() {
        let named = |from: &str, to: &str, key: &str| {
            let error = error(from, to);
            assert!(error.contains(key) && error.starts_with("r.toml"), "{error}");
        };
        named("steps = 10", "steps = 0", "stage 1: steps");
        named("batch = 3", "batch = 0", "stage 2: batch");
        named("batch = 3", "batch = 3\naccumulate = 0", "stage 2: accumulate");
        named("chunks = 2", "chunks = 0", "chunks");
        named("chunks = [2, 4]", "chunks = [4, 2]", "[min, max]");
        named("ocr_share = 0.3", "ocr_share = 1.5", "stage 2: ocr_share");
        named("chunks = 2\n", "chunks = 2\nocr_share = 0.5\n", "stage 1: ocr_share");
        named("aligner = 1e-3 }", "aligner = -1.0 }", "lr.aligner");
        named("embedding = 1e-3", "embedding = nan", "lr.embedding");
        named("until_step = 5", "until_step = 50", "curriculum");
        named("train = [\"a.txt\"]", "train = []", "data.train");
        named(
            "train = [\"a.txt\"]",
            "train = [\"a.txt\"]\nworkers = 0",
            "data.workers",
        );
        named("chunks = [2, 4]\n", "", "stage 2: chunks");
        named("chunks = 2\n", "chunks = 2\nmax_tokens = 5\n", "stage 1: max_tokens");
        named(
            "kind = \"olm\"\nsteps = 20\nbatch = 3\nchunks = [2, 4]\nocr_share = 0.3",
            "kind = \"sft\"\nsteps = 20\nbatch = 3",
            "stage 2: curriculum",
        );
        named("until_step = 5", "until_loss = -1.0", "curriculum");
        named("until_step = 5, ", "", "curriculum");
        named("cells = 1.0", "cells = 0.0", "stage 1: aux");
        named("cells = 1.0", "directions = -1.0", "stage 1: aux");
        named("chunks = 2\n", "chunks = 2\nchunk_tokens = 0\n", "[min, max]");
        named(
            "chunks = 2\n",
            "chunks = 2\nshuffled_share = 2.0\n",
            "stage 1: shuffled_share",
        );
        named(
            "chunks = 2\n",
            "chunks = 2\nunfolded_share = 0.5\n",
            "stage 1: unfolded_share",
        );
        named("ocr_share = 0.3", "first_weight = 0.0", "stage 2: first_weight");
        named("ocr_share = 0.3", "first_tokens = 0", "stage 2: first_tokens");
        named("ocr_share = 0.3", "repeat_weight = 0.0", "stage 2: repeat_weight");
        named(
            "chunks = 2\n",
            "chunks = 2\nfirst_weight = 2.0\n",
            "stage 1: first_weight, first_tokens belong to olm and sft stages",
        );
        named(
            "cells = 1.0",
            "cells = 1.0, next = 0.5",
            "stage 1: aux.next belongs to olm and sft stages",
        );
        named(
            "lr = { embedding = 1e-3, language_model = 1e-3 }",
            "lr = {}",
            "stage 2: lr",
        );
    }
}
