//! What a model remembers of finished chunks: the method, and the controls that it is judged against (spec section 6).

use super::batch::{Form, Sample, SampleKind, SampleRequest};
use super::pack::Windows;
use serde::{Deserialize, Serialize};

/// A recipe's `memory`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// Finished chunks are folded into pages (the method).
    #[default]
    Vision,
    /// Everything stays text.
    Full,
    /// The newest slots stay text, as many as folding would hold.
    Window,
    /// BOS and the open chunk only.
    None,
    /// As `Vision`, with means of the chunk's token embeddings in place of visual tokens.
    MeanPool,
    /// As `Vision`, with strided convolutions over the chunk's token embeddings in place of visual tokens.
    ConvPyramid,
    /// As `Vision`, with the pages of another window in place of the own.
    ShuffledPages,
}

/// What the index of the window is marked by whose pages are shown in place of the own.
const OTHER: u64 = 1 << 63;

impl Memory {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Vision,
        Self::Full,
        Self::Window,
        Self::None,
        Self::MeanPool,
        Self::ConvPyramid,
        Self::ShuffledPages,
    ];

    /// Whether finished chunks become pages (or what stands for them).
    pub fn has_pages(self) -> bool {
        !matches!(self, Self::Full | Self::Window | Self::None)
    }

    /// As it is called in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vision => "vision",
            Self::Full => "full",
            Self::Window => "window",
            Self::None => "none",
            Self::MeanPool => "mean_pool",
            Self::ConvPyramid => "conv_pyramid",
            Self::ShuffledPages => "shuffled_pages",
        }
    }

    /// That of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|memory| memory.name() == name)
    }

    /// How a finished chunk stands that would be folded.
    fn form(self) -> Form {
        match self {
            Self::Full => Form::Kept,
            Self::Window => Form::Window,
            Self::None => Form::Dropped,
            _ => Form::Folded,
        }
    }
}

impl Sample {
    /// The sample under another memory: the same text, predicted token by token as before. Without pages an `ocr` sample
    /// has nothing to be read from, and becomes an `olm` sample.
    #[must_use]
    pub fn remembering(self, memory: Memory) -> Self {
        if memory.has_pages() {
            return self;
        }
        let mut sample = if self.kind == SampleKind::Ocr {
            self.shaped(SampleKind::Olm)
        } else {
            self
        };
        for chunk in sample.chunks.iter_mut().filter(|chunk| chunk.form.has_page()) {
            chunk.form = memory.form();
        }
        sample
    }

    /// The sample with the pages of `other` (over again where it has fewer) in place of its own.
    #[must_use]
    pub fn with_pages_of(mut self, other: &Self) -> Self {
        for (chunk, page) in self.chunks.iter_mut().zip(other.chunks.iter().cycle()) {
            chunk.pages.clone_from(&page.pages);
            chunk.slots = page.slots;
            chunk.text.clone_from(&page.text);
            chunk.cells.clone_from(&page.cells);
            chunk.patch_tokens.clone_from(&page.patch_tokens);
        }
        self
    }
}

impl Windows {
    /// The window of `request` under `memory`.
    pub fn remembering(&self, request: &SampleRequest, memory: Memory) -> Sample {
        let sample = self.sample(request);
        if memory != Memory::ShuffledPages {
            return sample.remembering(memory);
        }
        let index = request.index ^ OTHER;
        sample.with_pages_of(&self.sample(&SampleRequest { index, ..*request }))
    }
}

#[cfg(test)]
mod tests;
