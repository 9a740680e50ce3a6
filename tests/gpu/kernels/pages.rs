//! `patchify`.

use super::values::{Values, poison};
use super::{Launch, check, property};
use folio_shaders::patchify;
use proptest::prelude::*;
use proptest::sample::select;

#[test]
fn patchify_is_its_twin() {
    let strategy = |_| {
        let patch = (select(vec![1usize, 2, 7, 16]), select(vec![1usize, 3, 4, 16, 33]));
        (
            patch,
            1usize..4,
            1usize..5,
            1usize..4,
            select(vec![1usize, 2, 5, 33, 65]),
            1usize..4,
            any::<u64>(),
        )
    };
    property(
        "patchify_is_its_twin",
        40,
        strategy,
        |machine, ((height, width), down, across, channels, patches, pages, seed)| {
            let mut values = Values::new(seed);
            let (page_height, page_width) = (down * height, across * width);
            let params = patchify::Params {
                patches: patches as u32,
                channels: channels as u32,
                patch_height: height as u32,
                patch_width: width as u32,
                image_height: page_height as u32,
                image_width: page_width as u32,
                ..Default::default()
            };
            let length = channels * height * width;
            let bindings = patchify::Bindings {
                pages: values.words((pages * page_height * page_width).div_ceil(4), u32::MAX),
                index: values.words(patches, (pages * down * across) as u32),
                y: poison(patches * length),
            };
            let call = patchify::call(params, bindings);
            check(
                machine,
                &Launch {
                    call,
                    grid: [length.div_ceil(64), patches, 1],
                },
                1e-6,
            )
        },
    );
}
