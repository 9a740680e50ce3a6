//! Figures of one run, with the keys of `--stats`.

use serde::Serialize;

use super::FinishReason;

/// Figures of one run. A restored session's earlier text counts as its prompt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// Name of the model.
    pub model: String,
    /// The device in words.
    pub device: String,
    /// Context mode.
    pub context: super::ContextMode,
    /// Prompt tokens read (without BOS).
    pub prompt_tokens: usize,
    /// Tokens written.
    pub generated_tokens: usize,
    /// Pages folded.
    pub folds: usize,
    /// Slots held at the end.
    pub context_slots: usize,
    /// Most slots ever held at once.
    pub peak_context_slots: usize,
    /// KV bytes of the peak.
    pub kv_bytes_peak: usize,
    /// KV bytes that the same run would hold unfolded: BOS, prompt and response.
    pub kv_bytes_full: usize,
    /// Bytes of weights.
    pub weight_bytes: usize,
    /// Seconds from the start of the run (the model is loaded by then) to the first token.
    pub time_to_first_token_s: Option<f64>,
    /// Tokens per second after the first, folds included.
    pub decode_tokens_per_s: Option<f64>,
    /// Seconds spent on folding.
    pub fold_s: FoldSeconds,
    /// What unfolding took; absent where it is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfold: Option<UnfoldStats>,
    /// Why the text ended.
    pub finish_reason: FinishReason,
    /// Seed of the random numbers.
    pub seed: u64,
}

/// Where folding spent its time, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct FoldSeconds {
    /// Drawing pages.
    pub render: f64,
    /// Vision encoder and aligner.
    pub encode: f64,
    /// Visual tokens through the decoder.
    pub prefill: f64,
}

/// What unfolding took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct UnfoldStats {
    /// Most pages for a chunk, as asked for.
    pub pages: usize,
    /// Chunks that pages were read again for.
    pub times: usize,
    /// Pages read again in all.
    pub pages_read: usize,
    /// Tokens read again in all.
    pub tokens_read: usize,
    /// Most slots that text read again took at once; they are among the run's slots.
    pub slots_peak: usize,
    /// Their KV bytes, which are among the run's.
    pub kv_bytes_peak: usize,
    /// Bytes of the pages' text that are kept beside the visual slots: four a token.
    pub text_bytes: usize,
    /// Seconds spent reading again.
    pub seconds: f64,
}
