//! Generation: sampler, stop rules, folding, events, statistics, session files.
//!
//! [`Session`] writes text and folds as it goes; [`score`] measures how well a model predicts a given text. Both drive
//! a [`crate::runner::Runner`] and know nothing of how it computes.

mod driver;
mod event;
mod file;
mod fingerprint;
mod generate;
mod in_common;
#[cfg(test)]
mod mock;
mod ops;
mod plan;
mod reading;
mod sampler;
mod score;
pub mod self_test;
mod settings;
mod stats;
mod stop;
#[cfg(test)]
mod tests;
mod unfolding;
mod writing;

use serde::{Deserialize, Serialize};

pub use event::{Event, FinishReason};
pub use file::SavedSession;
pub use fingerprint::{fingerprint, fingerprint_of};
pub use generate::Session;
pub use in_common::in_common;
pub use ops::PartKind;
#[cfg(feature = "gpu")]
pub(crate) use ops::cannot_fold;
pub use sampler::{Drawn, REPETITION_WINDOW, Sampler, Sampling, log_softmax};
pub use score::{Score, ScoreMode, score};
pub use settings::Settings;
pub use stats::{FoldSeconds, Stats, UnfoldStats};
pub use stop::StopMatcher;
pub use unfolding::{most_asked, reread};

/// What happens to text that the model has read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum ContextMode {
    /// Finished chunks are folded into pages.
    #[default]
    Folded,
    /// Everything stays text: plain attention, the honest baseline.
    Full,
}
