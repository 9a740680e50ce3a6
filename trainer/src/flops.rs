//! The arithmetic of a training step, from the engine's own count.

use crate::data::{Form, Sample, SampleKind};
use folio_engine::config::Config;
use folio_engine::cost::{decode_tokens, encode_chunk, fold_page, head};

/// FLOPs of training on `sample`: the forward pass by [`folio_engine::cost`], and twice that for the backward pass, whether
/// or not parts are frozen. The auxiliary heads are left out.
pub fn training_flops(sample: &Sample, config: &Config) -> f64 {
    3.0 * forward_flops(sample, config)
}

/// FLOPs of the forward pass over `sample` as training lays it out, with the head for the tokens that are learnt.
pub fn forward_flops(sample: &Sample, config: &Config) -> f64 {
    let (Some(fold), text) = (&config.fold, &config.text) else {
        return 0.0;
    };
    let mut flops = 0.0;
    // What later pieces see, and what a folded context would hold.
    let (mut memory, mut held, mut again) = (0, 0, fold.reread_tokens);
    if sample.kind.starts_with_bos() {
        flops += decode_tokens(text, 0, 1);
        (memory, held) = (1, 1);
    }
    for chunk in &sample.chunks {
        // All text that is run, and what of it is the chunk's own and on its page.
        let (n, own, slots) = (chunk.ids.len(), chunk.own(), chunk.slots);
        if sample.kind == SampleKind::Read {
            flops += encode_chunk(fold, text, n, slots);
            continue;
        }
        if chunk.learn && chunk.form.has_text() {
            flops += chunk.own() as f64 * head(text);
        }
        let read = |memory: usize| decode_tokens(text, memory, n);
        match chunk.form {
            // What a page is made of counts; text that it could see is not there.
            Form::Page => flops += encode_chunk(fold, text, n, slots) + decode_tokens(text, memory, slots),
            Form::PageText => {
                flops += encode_chunk(fold, text, n, slots) + decode_tokens(text, memory, slots) + read(memory + slots);
            }
            Form::Folded => {
                let seen = memory + if fold.visual_sees_text { n - own } else { 0 };
                flops += read(memory) + fold_page(fold, text, seen, own, slots);
            }
            Form::Open | Form::Raw | Form::Kept | Form::Window | Form::Dropped => flops += read(memory),
        }
        match chunk.form {
            Form::Page | Form::Folded => memory += slots,
            Form::PageText => memory += slots + n,
            Form::Raw | Form::Kept | Form::Window => memory += n,
            Form::Open | Form::Dropped => {}
        }
        held += if matches!(chunk.form, Form::Raw) { n } else { slots };
        if chunk.form == Form::Window {
            held += std::mem::take(&mut again);
            memory = memory.min(held);
        }
    }
    flops
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::{ChunkSample, Memory};
    use folio_engine::config::{PageEncoder, preset};
    use folio_engine::cost::{align_page, encode_page};

    fn sample(kind: SampleKind) -> Sample {
        let chunk = |n: usize, slots| ChunkSample {
            ids: vec![5; n],
            pages: Vec::new(),
            slots,
            text: String::new(),
            cells: Vec::new(),
            patch_tokens: Vec::new(),
            form: Form::Page,
            learn: true,
            given: 0,
        };
        Sample {
            kind,
            document: 0,
            start: 0,
            chunks: vec![chunk(100, 20), chunk(90, 25), chunk(10, 3)],
        }
        .shaped(kind)
    }

    #[test]
    fn every_layout_is_counted_by_hand() {
        let config = preset("folio-nano").unwrap();
        let (text, fold) = (&config.text, config.fold.as_ref().unwrap());
        let flops = |kind, memory| forward_flops(&sample(kind).remembering(memory), &config);
        let run = |memory, n| decode_tokens(text, memory, n);
        let heads = 200.0 * head(text);
        let page = |memory, n, slots| fold_page(fold, text, memory, n, slots);
        let folded = run(0, 1) + run(1, 100) + page(1, 100, 20) + run(21, 90) + page(21, 90, 25) + run(46, 10) + heads;
        assert_eq!(flops(SampleKind::Olm, Memory::Vision), folded);
        let full = run(0, 1) + run(1, 100) + run(101, 90) + run(191, 10) + heads;
        assert!((flops(SampleKind::Olm, Memory::Full) - full).abs() < 1.0);
        let window = run(0, 1) + run(1, 100) + run(21, 90) + run(46, 10) + heads;
        assert!((flops(SampleKind::Olm, Memory::Window) - window).abs() < 1.0);
        let none = run(0, 1) + run(1, 100) + run(1, 90) + run(1, 10) + heads;
        assert!((flops(SampleKind::Ocr, Memory::None) - none).abs() < 1.0);
        let ocr =
            page(0, 0, 20) + run(20, 100) + page(120, 0, 25) + run(145, 90) + page(235, 0, 3) + run(238, 10) + heads;
        assert!((flops(SampleKind::Ocr, Memory::Vision) - ocr).abs() < 1.0);
        let read: f64 = [20, 25, 3]
            .map(|n| encode_page(&fold.vision, n) + align_page(fold, text, n))
            .iter()
            .sum();
        assert!((flops(SampleKind::Read, Memory::Vision) - read).abs() < 1.0);
        // Convolutions: kernel 4, stride 2, from 256 to 192 wide, then 192 to 192; means cost nothing.
        let mut config = config.clone();
        let mut encoder = |kind| {
            config.fold.as_mut().unwrap().page_encoder = kind;
            let fold = config.fold.as_ref().unwrap();
            encode_chunk(fold, &config.text, 100, 20)
                - if kind == PageEncoder::MeanPool {
                    0.0
                } else {
                    align_page(fold, &config.text, 20)
                }
        };
        assert_eq!(encoder(PageEncoder::MeanPool), 0.0);
        assert_eq!(
            encoder(PageEncoder::ConvPyramid),
            2.0 * 4.0 * 192.0 * (50.0 * 256.0 + 25.0 * 192.0)
        );
        let config = preset("folio-nano").unwrap();
        assert_eq!(training_flops(&sample(SampleKind::Olm), &config), 3.0 * folded);
    }
}
