//! What a recipe's values must be.

use super::{Recipe, StageRecipe};
use crate::data::{DataKind, Memory, SampleKind};
use crate::{Error, Result};
use folio_engine::config::Config;
use folio_engine::text::Tokenizer;

/// With this many threads the curriculum's [`super::LAG`] still covers all batches that are made ahead.
const MOST_WORKERS: usize = 8;

impl Recipe {
    pub(super) fn check(&self, place: &str) -> Result<()> {
        let wrong = |key: &str, what: &str| Err(Error::invalid(place, format!("{key} {what}")));
        let sets = self.sets();
        if sets.is_empty() {
            return wrong("data.train", "names no file, and there is no [[data.set]]");
        }
        for (i, set) in sets.iter().enumerate() {
            if set.files.is_empty() {
                return wrong(&format!("data.set \"{}\": files", set.name), "names no file");
            }
            if !(set.weight > 0.0 && set.weight.is_finite()) {
                return wrong(&format!("data.set \"{}\": weight", set.name), "must be above 0");
            }
            if set.stream && set.kind != DataKind::Text {
                return wrong(
                    &format!("data.set \"{}\": stream", set.name),
                    "is for sets of kind \"text\"",
                );
            }
            if sets[..i].iter().any(|other| other.name == set.name) {
                return wrong(&format!("data.set \"{}\"", set.name), "stands there twice");
            }
        }
        if !(1..=MOST_WORKERS).contains(&self.data.workers) {
            return wrong("data.workers", &format!("must be 1 to {MOST_WORKERS}"));
        }
        if self.stage.is_empty() {
            return wrong("stage", "is missing: a run needs at least one [[stage]]");
        }
        if self.memory == Memory::ShuffledPages && sets.iter().any(|set| set.stream) {
            return wrong(
                "memory",
                "shuffled_pages takes pages from anywhere: no data set may be streamed",
            );
        }
        let text = |stage: &StageRecipe| DataKind::of(stage.kind) == DataKind::Text;
        if self.memory != Memory::Vision && !self.stage.iter().all(text) {
            return wrong("memory", "belongs to recipes of read, ocr and olm stages");
        }
        if !self.memory.has_pages() && self.stage.iter().all(|stage| stage.kind == SampleKind::Read) {
            return wrong("memory", "has no pages to read, and there is no other stage");
        }
        if self.threads == Some(0) {
            return wrong("threads", "must be 1 or more");
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay < 1.0) {
            return wrong("weight_decay", "must be 0 or more and below 1");
        }
        if !self.data.valid.is_empty() && (self.eval.documents == 0 || self.eval.chunks == 0) {
            return wrong("eval", "needs documents and chunks of 1 or more");
        }
        if let Err((key, what)) = self.check_eval_bounds() {
            return wrong(key, &what);
        }
        if !(self.checkpoint.minutes >= 0.0 && self.checkpoint.minutes.is_finite()) {
            return wrong("checkpoint.minutes", "must be 0 or more");
        }
        if self.checkpoint.keep == 0 {
            return wrong("checkpoint.keep", "must be 1 or more");
        }
        if self.log.every == 0 {
            return wrong("log.every", "must be 1 or more");
        }
        for (i, stage) in self.stage.iter().enumerate() {
            if let Err((key, what)) = stage.check() {
                return wrong(&format!("stage {}: {key}", i + 1), what);
            }
            if let Err((key, what)) = stage.check_bounds() {
                return wrong(&format!("stage {}: {key}", i + 1), &what);
            }
            if let Err(what) = self.sets_of(stage) {
                return wrong(&format!("stage {}: data", i + 1), &what);
            }
        }
        Ok(())
    }
}

impl Recipe {
    /// The sets that `stage` draws from, by their place in [`Self::sets`], with their weights.
    ///
    /// # Errors
    /// What is wrong, in words: a name that no set has, a set of another kind, no set at all.
    pub fn sets_of(&self, stage: &StageRecipe) -> std::result::Result<Vec<(usize, f64)>, String> {
        let sets = self.sets();
        let need = DataKind::of(stage.kind);
        let kind = |kind: DataKind| format!("{kind:?}").to_lowercase();
        let fitting = |i: usize| (sets[i].kind == need).then_some((i, sets[i].weight));
        if stage.data.is_empty() {
            let all: Vec<_> = (0..sets.len()).filter_map(fitting).collect();
            if all.is_empty() {
                return Err(format!("there is no data set of kind \"{}\"", kind(need)));
            }
            return Ok(all);
        }
        let named = stage.data.iter().map(|name| {
            let i = sets.iter().position(|set| set.name == *name);
            let i = i.ok_or_else(|| format!("names \"{name}\", which no [[data.set]] is called"))?;
            fitting(i).ok_or_else(|| {
                format!(
                    "names \"{name}\", which is of kind \"{}\", not \"{}\"",
                    kind(sets[i].kind),
                    kind(need)
                )
            })
        });
        named.collect()
    }
}

impl StageRecipe {
    fn check(&self) -> std::result::Result<(), (&'static str, &'static str)> {
        let rule = |good: bool, key, what| if good { Ok(()) } else { Err((key, what)) };
        let rate = |lr: f64| (0.0..1.0).contains(&lr);
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let weight = |x: f64| x >= 0.0 && x.is_finite();
        rule(self.steps > 0, "steps", "must be 1 or more")?;
        rule(self.batch > 0, "batch", "must be 1 or more")?;
        rule(self.accumulate > 0, "accumulate", "must be 1 or more")?;
        let windows = DataKind::of(self.kind) == DataKind::Text;
        rule(
            !windows || self.chunks.min > 0,
            "chunks",
            "is missing: chunks (pages) of each document",
        )?;
        let pictures = self.kind == SampleKind::Caption;
        rule(!pictures || self.chunks.max == 0, "chunks", "has no meaning for images")?;
        rule(
            !windows || self.max_tokens.is_none(),
            "max_tokens",
            "belongs to caption and sft stages: chunks bound a document",
        )?;
        rule(self.max_tokens != Some(0), "max_tokens", "must be 1 or more")?;
        rule(
            windows || (self.shuffled_share == 0.0 && self.chunk_tokens.is_none()),
            "shuffled_share, chunk_tokens",
            "belong to stages on documents",
        )?;
        rule(
            self.kind == SampleKind::Olm || self.unfolded_share == 0.0,
            "unfolded_share",
            "belongs to olm stages",
        )?;
        rule(
            windows || self.curriculum.is_empty(),
            "curriculum",
            "belongs to stages on documents",
        )?;
        for (lr, key) in [
            (self.lr.embedding, "lr.embedding"),
            (self.lr.language_model, "lr.language_model"),
            (self.lr.vision, "lr.vision"),
            (self.lr.aligner, "lr.aligner"),
        ] {
            rule(rate(lr), key, "must be 0 (frozen) or more and below 1")?;
        }
        let lr = &self.lr;
        let sum = lr.embedding + lr.language_model + lr.vision + lr.aligner;
        rule(sum > 0.0, "lr", "freezes every part: nothing would be learnt")?;
        rule(
            [self.aux.cells, self.aux.tokens, self.aux.directions, self.aux.next]
                .into_iter()
                .all(weight),
            "aux",
            "weights must be 0 or more",
        )?;
        let aux = self.aux.cells + self.aux.tokens + self.aux.directions;
        rule(
            !pictures || aux == 0.0,
            "aux",
            "weights must be 0: an image has no characters to name",
        )?;
        rule(
            self.kind != SampleKind::Read || aux > 0.0,
            "aux",
            "must give a weight: a read stage has no other loss",
        )?;
        let first = self.first_weight > 0.0 && self.first_weight.is_finite();
        rule(first, "first_weight", "must be above 0")?;
        rule(self.first_tokens > 0, "first_tokens", "must be 1 or more")?;
        let repeat = self.repeat_weight > 0.0 && self.repeat_weight.is_finite();
        rule(repeat, "repeat_weight", "must be above 0")?;
        let folds = matches!(self.kind, SampleKind::Olm | SampleKind::Sft);
        rule(
            folds || (self.first_weight == 1.0 && self.first_tokens == 1),
            "first_weight, first_tokens",
            "belong to olm and sft stages: no token of another follows a fold",
        )?;
        rule(
            folds || self.repeat_weight == 1.0,
            "repeat_weight",
            "belongs to olm and sft stages: no page of another is an earlier one",
        )?;
        rule(
            folds || self.aux.next == 0.0,
            "aux.next",
            "belongs to olm and sft stages: no page of another is folded",
        )?;
        rule(share(self.shuffled_share), "shuffled_share", "must be between 0 and 1")?;
        rule(share(self.unfolded_share), "unfolded_share", "must be between 0 and 1")?;
        rule(share(self.ocr_share), "ocr_share", "must be between 0 and 1")?;
        let mixes = self.kind == SampleKind::Olm || self.ocr_share == 0.0;
        rule(mixes, "ocr_share", "belongs to olm stages only")?;
        rule(share(self.warmup_ratio), "warmup_ratio", "must be between 0 and 1")?;
        rule(share(self.min_lr_ratio), "min_lr_ratio", "must be between 0 and 1")?;
        rule(self.clip_norm > 0.0, "clip_norm", "must be above 0")?;
        super::curriculum::check(&self.curriculum, self.steps).map_err(|what| ("curriculum", what))
    }
}

/// Checks that `recipe` (read from `place`) asks for chunks that the model of `config` can have.
///
/// # Errors
/// A stage whose `chunk_tokens` are above the model's K: they would be cut to K.
pub fn check_chunks(recipe: &Recipe, config: &Config, place: &str) -> Result<()> {
    let Some(most) = config.fold.as_ref().map(|fold| fold.chunk_tokens) else {
        return Ok(());
    };
    for (i, stage) in recipe.stage.iter().enumerate() {
        if let Some(range) = stage.chunk_tokens.filter(|range| range.max > most) {
            let what = format!(
                "stage {}: chunk_tokens is {}, the model's chunks have at most {most} tokens (its chunk_tokens)",
                i + 1,
                range.max
            );
            return Err(Error::invalid(place, what));
        }
    }
    Ok(())
}

/// Checks that `tokenizer` (read from `place`) is the one that `config` was made for.
///
/// # Errors
/// More ids than the model has, or special ids other than the model's.
pub fn check_tokenizer(config: &Config, tokenizer: &Tokenizer, place: &str) -> Result<()> {
    let (ids, vocab) = (tokenizer.vocab_size(), config.text.vocab_size);
    if ids > vocab {
        let what = format!("has {ids} ids, the model's vocab_size is {vocab}: train it with --vocab-size {vocab}");
        return Err(Error::invalid(place, what));
    }
    for (id, key) in std::iter::once((config.bos_token_id, "bos_token_id"))
        .chain(config.eos_token_id.iter().map(|&id| (id, "eos_token_id")))
    {
        if !tokenizer.is_special(id) {
            return Err(Error::invalid(
                place,
                format!("id {id}, the model's {key}, is no special token there"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::tests_support::tokenizer;
    use folio_engine::config::preset;

    #[test]
    fn chunks_must_fit_the_model() {
        let config = preset("folio-nano").unwrap();
        let of = |tokens: &str| {
            let text =
                super::super::load::tests::RECIPE.replace("ocr_share = 0.3", &format!("chunk_tokens = {tokens}"));
            check_chunks(&Recipe::parse(&text, "r.toml").unwrap(), &config, "r.toml")
        };
        of("128").unwrap();
        of("[1, 128]").unwrap();
        let error = of("[1, 129]").unwrap_err().to_string();
        assert!(
            error.contains("r.toml: stage 2: chunk_tokens is 129") && error.contains("128 tokens"),
            "{error}"
        );
    }

    #[test]
    fn a_tokenizer_must_fit_the_model() {
        let (tokenizer, _) = tokenizer("some text to learn from, some more text", 262);
        let mut config = preset("folio-nano").unwrap();
        check_tokenizer(&config, &tokenizer, "tok").unwrap();
        config.eos_token_id = vec![17];
        assert!(
            check_tokenizer(&config, &tokenizer, "tok")
                .unwrap_err()
                .to_string()
                .contains("eos_token_id")
        );
        config.text.vocab_size = 100;
        let error = check_tokenizer(&config, &tokenizer, "tok").unwrap_err().to_string();
        assert!(error.contains("tok: has 26") && error.contains("100"), "{error}");
    }
}
