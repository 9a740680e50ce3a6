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
    ///
    /// # Panics
    /// If the page's size is not the model's image size.
    pub fn new(page: &PageImage, config: &FoldConfig) -> Self {
        let vision = &config.vision;
        let slots = Self::ink_slots(page, config);
        let (columns, _) = vision.patch_grid();
        let mut data = Vec::with_capacity(slots * vision.patch_len());
        for slot in 0..slots {
            let (left, top) = (
                slot % columns * vision.patch_width,
                slot / columns * vision.patch_height,
            );
            let start = data.len();
            for y in top..top + vision.patch_height {
                let at = y * page.width + left;
                data.extend(
                    page.pixels[at..at + vision.patch_width]
                        .iter()
                        .map(|&x| (f32::from(x) / 255.0 - 0.5) / 0.5),
                );
            }
            let end = data.len();
            for _ in 1..vision.num_channels {
                data.extend_from_within(start..end);
            }
        }
        Self { slots, data }
    }

    /// Visual slots that `page` takes: the number of patches that [`Self::new`] keeps, without building them.
    ///
    /// # Panics
    /// If the page's size is not the model's image size.
    pub fn ink_slots(page: &PageImage, config: &FoldConfig) -> usize {
        let vision = &config.vision;
        assert!(
            (page.width, page.height) == (vision.image_width, vision.image_height)
                && page.pixels.len() == page.width * page.height,
            "a page of {}×{} pixels is given to a model of {}×{}",
            page.width,
            page.height,
            vision.image_width,
            vision.image_height,
        );
        if !config.skip_blank_patches {
            return vision.num_patches();
        }
        let (columns, rows) = vision.patch_grid();
        let band = vision.patch_height * page.width;
        for row in (0..rows).rev() {
            // The last inked column of this row of patches.
            let last = page.pixels[row * band..(row + 1) * band]
                .chunks_exact(page.width)
                .filter_map(|line| line.iter().rposition(|&x| x != page.background))
                .max();
            if let Some(x) = last {
                return row * columns + (x / vision.patch_width).min(columns - 1) + 1;
            }
        }
        1
    }
}
