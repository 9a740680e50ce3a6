//! A page cut into patches for the vision encoder.
use super::PageImage;
use crate::config::FoldConfig;

/// The patches of one page, in raster order, as the encoder takes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Patches {
    /// Number of patches kept: all, or up to the last that has ink (at least one) with `skip_blank_patches`.
    pub slots: usize,
    /// `slots × patch_len` pixels, each patch flattened as (channel, row, column), `(x/255 − 0.5)/0.5`.
    pub data: Vec<f32>,
}

impl Patches {
    /// Cuts `page` by the model's patch grid.
    pub fn new(_page: &PageImage, _config: &FoldConfig) -> Self {
        unimplemented!()
    }
}
