//! The controls' samples, and that training and scoring see the same model.
#![allow(clippy::unwrap_used)]

use super::super::corpus::{Corpus, Ids};
use super::super::draw::Drawer;
use super::super::tests_support::tokenizer;
use super::*;
use crate::layout::{Places, layout};
use burn_flex::Flex;
use folio_engine::Wait;
use folio_engine::checkpoint::{init_tensor, tensors};
use folio_engine::config::{Config, PageEncoder, preset};
use folio_engine::context::Piece;
use folio_engine::model::{BurnRunner, Packed, Vist2, named_params};
use folio_engine::page::{FontStack, Tint};
use folio_engine::runner::{Runner, Want};
use folio_engine::session::{ScoreMode, score};
use folio_engine::text::Tokenizer;
use std::sync::Arc;

const WORDS: &str = "a lamp stood by the window\nwhen seven birds, quite still, went over the river to a far shore. ";

/// Pages of 32 by 4 cells, chunks of 24 tokens; a tiny decoder.
fn tiny() -> Config {
    let mut config = preset("folio-nano").unwrap();
    let text = &mut config.text;
    (text.vocab_size, text.hidden_size, text.intermediate_size) = (300, 16, 32);
    (text.num_hidden_layers, text.num_attention_heads) = (2, 2);
    (text.num_key_value_heads, text.head_dim) = (1, 8);
    let fold = config.fold.as_mut().unwrap();
    let vision = &mut fold.vision;
    (vision.hidden_size, vision.intermediate_size, vision.num_hidden_layers) = (16, 32, 1);
    vision.num_attention_heads = 2;
    (vision.image_width, vision.image_height) = (256, 64);
    (vision.patch_width, vision.patch_height) = (128, 16);
    (fold.chunk_tokens, fold.visual_tokens) = (24, 8);
    config
}

fn windows(config: &Config) -> (Windows, Tokenizer, Vec<u32>) {
    let (tokenizer, _) = tokenizer(&WORDS.repeat(20), 300);
    let ids = tokenizer.encode(&WORDS.repeat(8)).unwrap();
    let corpus = Arc::new(Corpus {
        ids: Ids::U16(ids.iter().map(|&id| id as u16).collect()),
        ends: vec![ids.len() as u64],
    });
    let drawer = Drawer::new(tokenizer.clone(), config.fold.as_ref().unwrap(), FontStack::embedded());
    (Windows::new(corpus, drawer, 3).unwrap(), tokenizer, ids)
}

/// A model with weights larger than at the start, so that a wrong mask or position shows.
fn grown(config: &Config) -> Vist2<Flex> {
    Vist2::build(
        config,
        &mut |spec| {
            let mut values = init_tensor(config, spec, 5);
            if !spec.name.contains("norm") {
                values.iter_mut().for_each(|v| *v *= 6.0);
            }
            Ok(values)
        },
        &Default::default(),
    )
    .unwrap()
}

#[test]
fn training_and_scoring_agree_token_by_token_under_every_memory() {
    let mut config = tiny();
    let (windows, tokenizer, ids) = windows(&config);
    let request = SampleRequest {
        chunks: 7,
        ..SampleRequest::default()
    };
    let sample = windows.at(&request, 0, 0);
    assert_eq!(sample.chunks.len(), 7);
    let slots: usize = sample.chunks.iter().map(|c| c.slots).sum();
    assert!(slots < sample.tokens(), "a window of all text would prove nothing");
    let mut means = Vec::new();
    for (memory, mode, reread) in [
        (Memory::Vision, ScoreMode::Folded, 0),
        (Memory::Full, ScoreMode::Full, 0),
        (Memory::Window, ScoreMode::Window, 0),
        (Memory::None, ScoreMode::None, 0),
        (Memory::MeanPool, ScoreMode::Folded, 0),
        (Memory::ConvPyramid, ScoreMode::Folded, 0),
        (Memory::Vision, ScoreMode::Folded, 5),
        (Memory::Window, ScoreMode::Window, 5),
        (Memory::MeanPool, ScoreMode::Folded, 5),
    ] {
        config.fold.as_mut().unwrap().reread_tokens = reread;
        config.fold.as_mut().unwrap().page_encoder = match memory {
            Memory::MeanPool => PageEncoder::MeanPool,
            Memory::ConvPyramid => PageEncoder::ConvPyramid,
            _ => PageEncoder::Vision,
        };
        let model = grown(&config);
        let mut names: Vec<_> = named_params(&model).into_iter().map(|(spec, _)| spec).collect();
        let mut listed = tensors(&config);
        names.sort_by(|a, b| a.name.cmp(&b.name));
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(names, listed, "the checkpoint's list is the model's");
        assert_eq!(Config::from_json(&config.to_json(), "config.json").unwrap(), config);
        let sample = sample.clone().remembering(memory).rereading(reread);
        let given: usize = sample.chunks.iter().map(|chunk| chunk.given).sum();
        assert_eq!(given, if memory.has_pages() { 6 * reread } else { 0 });
        let documents = [layout(&sample, &config)];
        let patch = config.fold.as_ref().unwrap().vision.patch_len();
        let packed = Packed::<Flex>::new(&documents, false, (2, 1), patch, &Default::default());
        let trained = model.nll(&model.forward(&packed), &packed.targets).into_data();
        let samples = [&sample];
        let places = Places::new(&samples);
        let all = packed.targets.iter().zip(trained.as_slice::<f32>().unwrap());
        let trained: Vec<f32> = all
            .filter(|(target, _)| places.of(target).learn)
            .map(|(_, nll)| *nll)
            .collect();
        let mut runner = BurnRunner::new(model.clone(), Default::default(), "cpu");
        let fonts = FontStack::embedded();
        let scored = score(
            &mut runner,
            &tokenizer,
            fonts,
            &ids[..sample.tokens()],
            mode,
            &mut |_, _| Ok(()),
            &mut |_| (),
        )
        .unwrap();
        assert_eq!(trained.len(), scored.token_nll.len(), "{memory:?}");
        for (i, (a, b)) in trained.iter().zip(&scored.token_nll).enumerate() {
            assert!((f64::from(*a) - b).abs() < 1e-4, "{memory:?}, token {i}: {a} {b}");
        }
        means.push(scored.nll_per_token().unwrap());
    }
    // They are different memories.
    for (i, a) in means.iter().enumerate() {
        assert!(means[..i].iter().all(|b| (a - b).abs() > 1e-6), "{means:?}");
    }
}

#[test]
fn controls_have_no_pages_and_read_nothing_back() {
    let config = tiny();
    let (windows, ..) = windows(&config);
    let request = |kind| SampleRequest {
        chunks: 3,
        kind,
        ..SampleRequest::default()
    };
    for memory in [Memory::Full, Memory::Window, Memory::None] {
        for kind in [SampleKind::Olm, SampleKind::Ocr] {
            let sample = windows.remembering(&request(kind), memory);
            assert_eq!(sample.kind, SampleKind::Olm);
            assert!(sample.chunks.iter().all(|c| !c.form.has_page() && c.learn));
            let slots = sample.chunks[0].slots;
            let piece = layout(&sample, &config).pieces[1];
            match memory {
                Memory::Full => assert_eq!(piece, Piece::Raw { tokens: 24 }),
                Memory::Window => assert_eq!(
                    piece,
                    Piece::Windowed {
                        tokens: 24,
                        visual: slots
                    }
                ),
                _ => assert_eq!(piece, Piece::Dropped { tokens: 24 }),
            }
        }
    }
    for memory in Memory::ALL {
        assert_eq!(Memory::named(memory.name()), Some(memory));
    }
}

#[test]
fn shuffled_pages_are_pages_of_another_window_under_the_own_text() {
    let config = tiny();
    let (windows, ..) = windows(&config);
    let request = SampleRequest {
        chunks: 3,
        index: 4,
        ..SampleRequest::default()
    };
    let (own, mixed) = (
        windows.sample(&request),
        windows.remembering(&request, Memory::ShuffledPages),
    );
    let pages = windows.sample(&SampleRequest {
        index: 4 ^ OTHER,
        ..request
    });
    assert_ne!(own.start, pages.start);
    for ((mixed, own), page) in mixed.chunks.iter().zip(&own.chunks).zip(&pages.chunks) {
        assert_eq!((&mixed.ids, mixed.form), (&own.ids, own.form));
        assert_eq!(
            (&mixed.pages, mixed.slots, &mixed.cells),
            (&page.pages, page.slots, &page.cells)
        );
    }
}

#[test]
fn an_unfolding_sample_is_what_a_runner_that_unfolds_computes() {
    let config = tiny();
    let (windows, ..) = windows(&config);
    let model = grown(&config);
    let request = SampleRequest {
        chunks: 4,
        ..SampleRequest::default()
    };
    let plain = windows.at(&request, 0, 0);
    let sample = plain.clone().unfolded(8);
    let last = &sample.chunks[3];
    assert!(last.given > 24, "a page and a tail behind it");
    let patch = config.fold.as_ref().unwrap().vision.patch_len();
    let packed = Packed::<Flex>::new(&[layout(&sample, &config)], false, (2, 1), patch, &Default::default());
    let trained = model.nll(&model.forward(&packed), &packed.targets).into_data();
    let trained = trained.as_slice::<f32>().unwrap();

    let mut runner = BurnRunner::new(model, Default::default(), "cpu");
    runner.extend(&[config.bos_token_id], Want::Nothing).wait().unwrap();
    runner.keep_open();
    for chunk in &plain.chunks[..3] {
        runner.extend(&chunk.ids, Want::Nothing).wait().unwrap();
        let page = windows.drawer().renderer().render(&chunk.text, Tint::White);
        runner.fold(&[page], Want::Nothing).wait().unwrap();
    }
    let (given, own) = last.ids.split_at(last.given);
    let mut logits = runner.unfold(given, Want::Last).wait().unwrap().data;
    logits.extend(runner.extend(own, Want::All).wait().unwrap().data);
    let vocab = config.text.vocab_size;
    let nll = |row: &[f32], id: u32| {
        let most = row.iter().copied().fold(f32::MIN, f32::max);
        most + row.iter().map(|x| (x - most).exp()).sum::<f32>().ln() - row[id as usize]
    };
    let samples = [&sample];
    let places = Places::new(&samples);
    let learnt = packed
        .targets
        .iter()
        .zip(trained)
        .filter(|(target, _)| target.piece == 4 && places.of(target).learn);
    let learnt: Vec<f32> = learnt.map(|(_, &nll)| nll).collect();
    assert_eq!(learnt.len(), own.len());
    for (i, (id, trained)) in own.iter().zip(&learnt).enumerate() {
        let stepped = nll(&logits[i * vocab..(i + 1) * vocab], *id);
        assert!((stepped - trained).abs() < 1e-4, "token {i}: {stepped} {trained}");
    }
}
