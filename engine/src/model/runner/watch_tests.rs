//! What pages were asked for, against a softmax over the runner's keys that is computed here.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::Wait;
use crate::model::decoder::Qkv;
use crate::page::{FontStack, PageRenderer, Tint};
use crate::session::{most_asked, self_test};
use burn_flex::Flex;
use proptest::prelude::*;

fn runner(layers: usize) -> BurnRunner<Flex> {
    let mut config = self_test::config();
    config.text.num_hidden_layers = layers;
    // Sharp enough that pages differ.
    let weights = &mut |spec: &crate::checkpoint::TensorSpec| {
        let by = if spec.name.contains("norm") { 1.0 } else { 2.5 };
        Ok(self_test::weights(spec).into_iter().map(|x| x * by).collect())
    };
    let device = Default::default();
    BurnRunner::new(Vist2::build(&config, weights, &device).unwrap(), device, "test")
}

fn values<const D: usize>(t: Tensor<Flex, D>) -> Vec<f32> {
    t.into_data().into_vec().unwrap()
}

/// Softmax weights of the queries of `ids`, the runner's `n` open tokens, on every slot of the memory, over all layers.
fn asked(runner: &BurnRunner<Flex>, ids: &[u32]) -> Vec<f64> {
    let text = &runner.config.text;
    let (p, open, n) = (runner.context.memory_slots(), runner.context.open_slots(), ids.len());
    let first = open - n;
    let (heads, dim, groups) = (
        text.num_attention_heads,
        text.head_dim,
        text.num_attention_heads / text.num_key_value_heads,
    );
    let data: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let index = Tensor::<Flex, 1, Int>::from_data(TensorData::new(data, [n]), &runner.device);
    let decoder = &runner.model.language_model.model;
    let mut x = decoder.embed_tokens.forward(index);
    let positions: Vec<usize> = (p + first..p + open).collect();
    let rope = Rope::new(&positions, dim, text.rope_theta, &runner.device);
    let mut slots = vec![0.0; p];
    for (layer, kv) in decoder.layers.iter().zip(&runner.kv) {
        x = layer.forward(x, &rope, |qkv: Qkv<Flex>| {
            let q = values(qkv.q);
            let ((km, vm), (ko, vo)) = (kv.memory.first(p), kv.open.first(open));
            let [km, vm, ko, vo] = [km, vm, ko, vo].map(values);
            let mut out = vec![0f32; n * heads * dim];
            for i in 0..n {
                for head in 0..heads {
                    let key = |slot: usize| match slot.checked_sub(p) {
                        None => (&km, &vm, (head / groups * p + slot) * dim),
                        Some(j) => (&ko, &vo, (head / groups * open + j) * dim),
                    };
                    let query = &q[(i * heads + head) * dim..][..dim];
                    let score = |slot: usize| {
                        let (k, _, at) = key(slot);
                        query
                            .iter()
                            .zip(&k[at..at + dim])
                            .map(|(a, b)| f64::from(a * b))
                            .sum::<f64>()
                            .exp()
                    };
                    let seen = p + first + i + 1;
                    let total: f64 = (0..seen).map(score).sum();
                    for slot in 0..seen {
                        let weight = score(slot) / total;
                        if let Some(sum) = slots.get_mut(slot) {
                            *sum += weight;
                        }
                        let (_, v, at) = key(slot);
                        for d in 0..dim {
                            out[(i * heads + head) * dim + d] += (weight * f64::from(v[at + d])) as f32;
                        }
                    }
                }
            }
            Tensor::from_data(TensorData::new(out, [n, heads * dim]), &runner.device)
        });
    }
    slots
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pages_are_chosen_as_a_softmax_outside_says(
        texts in prop::collection::vec("[a-z ]{1,16}", 1..5),
        raw in 1usize..4,
        asking in prop::collection::vec(2u32..8, 1..12),
        again in prop::collection::vec(2u32..8, 0..6),
        layers in 1usize..3,
        one_by_one in any::<bool>(),
    ) {
        let mut runner = runner(layers);
        let fold = runner.config.fold.clone().unwrap();
        let pages = PageRenderer::new(&fold, FontStack::embedded());
        runner.watch_pages(true).unwrap();
        runner.extend(&[0, 5, 3][..raw], Want::Nothing).wait().unwrap();
        runner.keep_open();
        for text in &texts {
            runner.fold(&[pages.render(text, Tint::White)], Want::Nothing).wait().unwrap();
        }
        if !again.is_empty() {
            // What is read again asks for nothing, and what was asked for before it is forgotten.
            runner.extend(&[4, 4], Want::Nothing).wait().unwrap();
            runner.drop_open();
            runner.unfold(&again, Want::Nothing).wait().unwrap();
            prop_assert!(runner.pages_asked().wait().unwrap().iter().all(|&asked| asked == 0.0));
            prop_assert_eq!(runner.context().unfolded_slots(), again.len());
        }
        let before = runner.flops().unwrap();
        for ids in asking.chunks(if one_by_one { 1 } else { 99 }) {
            runner.extend(ids, Want::Nothing).wait().unwrap();
        }
        let flops = runner.flops().unwrap() - before;
        let memory = runner.context().memory_slots();
        let text = &runner.config.text;
        let wanted = crate::cost::decode_tokens(text, memory + again.len(), asking.len())
            + crate::cost::watch_tokens(text, memory, asking.len());
        prop_assert_eq!(flops as f64, wanted);
        let slots = asked(&runner, &asking);
        let right: Vec<f64> = runner.context().page_rows().map(|rows| slots[rows].iter().sum()).collect();
        let found = runner.pages_asked().wait().unwrap();
        prop_assert_eq!(found.len(), texts.len());
        for (found, right) in found.iter().zip(&right) {
            prop_assert!((found - right).abs() < 1e-4 * right.max(1.0), "{found} for {right}");
        }
        let mut sorted = right.clone();
        sorted.sort_by(f64::total_cmp);
        // Ties of rounding are nobody's.
        for n in (1..texts.len()).filter(|n| sorted[texts.len() - n] - sorted[texts.len() - n - 1] > 1e-3) {
            prop_assert_eq!(most_asked(&found, n), most_asked(&right, n));
        }
    }
}

#[test]
fn off_it_adds_nothing_up() {
    let mut runner = runner(1);
    let fold = runner.config.fold.clone().unwrap();
    let page = PageRenderer::new(&fold, FontStack::embedded()).render("a page", Tint::White);
    runner.fold(&[page], Want::Nothing).wait().unwrap();
    runner.extend(&[2, 3], Want::Nothing).wait().unwrap();
    assert_eq!(runner.pages_asked().wait().unwrap(), [0.0]);
    runner.watch_pages(true).unwrap();
    runner.extend(&[2], Want::Nothing).wait().unwrap();
    let asked = runner.pages_asked().wait().unwrap();
    assert!(asked[0] > 0.0);
    runner.watch_pages(false).unwrap();
    runner.extend(&[2], Want::Nothing).wait().unwrap();
    assert_eq!(runner.pages_asked().wait().unwrap(), asked, "what was added up stays");
    runner.reset();
    assert!(runner.pages_asked().wait().unwrap().is_empty());
}
