//! The engine's one error type. Every message says what is wrong, where, and what to do about it, on one line.

use std::path::{Path, PathBuf};

/// `Result` with the engine's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong inside the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb ("read", "write", …).
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own word.
        source: std::io::Error,
    },
    /// A file's content is not what it should be.
    #[error("{place}: {what}")]
    Invalid {
        /// File (and key or tensor) at fault.
        place: String,
        /// What is wrong and what would be right.
        what: String,
    },
    /// A value given by the caller cannot be used.
    #[error("{0}")]
    Argument(String),
    /// The model has no room for another slot: `max_position_embeddings` bounds slots, not tokens.
    #[error("the context is full: {slots} slots are asked for, max_position_embeddings is {limit}")]
    ContextFull {
        /// Slots that the operation would need.
        slots: usize,
        /// The model's limit.
        limit: usize,
    },
    /// The model gave something that is not a number.
    #[error("the model's output is not finite ({0}): the weights are damaged or the device computes wrongly")]
    NotFinite(String),
    /// There is no GPU, or it gives no device.
    #[error("{0}")]
    NoGpu(String),
    /// The GPU lacks what the kernels need.
    #[error("{0}")]
    GpuBelowFloor(String),
    /// The GPU cannot hold what is asked of it; the numbers are named.
    #[error("{0}")]
    GpuTooSmall(String),
    /// The GPU cannot run what is asked of it, or computes wrongly.
    #[error("{0}")]
    Gpu(String),
    /// A process that trains together with this one is gone.
    #[error("{0} ended: the run cannot go on without it; continue from the last checkpoint with --resume")]
    ProcessLost(String),
    /// The GPU device is gone (driver reset, unplugged, destroyed): what it held is lost, the session's own copy is not.
    #[error("the GPU device was lost ({0})")]
    DeviceLost(String),
}

impl Error {
    /// An [`Error::Io`] about `path`.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.as_ref().to_owned(),
            source,
        }
    }

    /// Whether another device would help.
    pub fn is_gpu(&self) -> bool {
        matches!(
            self,
            Self::NoGpu(_) | Self::GpuBelowFloor(_) | Self::GpuTooSmall(_) | Self::Gpu(_) | Self::DeviceLost(_)
        )
    }

    /// An [`Error::Invalid`] about `place`.
    pub fn invalid(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Invalid {
            place: place.into(),
            what: what.into(),
        }
    }
}
