//! Folio's trainer: text files in, a checkpoint that folds out. See `recipes/` for what a run is made of.

pub mod aux_loss;
pub mod compute;
pub mod data;
pub mod device;
pub mod eval;
pub mod export;
pub mod files;
pub mod flops;
pub mod init_from;
pub mod layout;
pub mod learner_state;
pub mod linear_ce;
pub mod metrics;
pub mod model_folder;
pub mod offsets;
pub mod optim;
pub mod parallel;
pub mod parameters;
pub mod plot;
pub mod quality;
pub mod recipe;
pub mod run;
pub mod run_dir;
pub mod samples;
pub mod setup;
mod shares;
pub mod stats;
pub mod step;
mod step_plan;
pub mod team;
pub mod tokenizer_train;
mod visual_next;
mod weights;

pub use folio_engine::{Error, Result};
