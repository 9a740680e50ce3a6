//! What a runner can be asked to do, as data: two runners follow the same script and must say the same.

use folio_engine::Wait;
use folio_engine::config::Config;
use folio_engine::page::{FontStack, PageImage, PageRenderer, Tint};
use folio_engine::runner::{Logits, Runner, Want};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One operation.
#[derive(Debug, Clone)]
pub enum Op {
    /// Text joins the open chunk.
    Text(Vec<u32>, Want),
    /// The open chunk is folded into the first of these pages (given as texts), the others follow.
    Fold(Vec<(String, Tint)>, Want),
    /// The open chunk stays as raw text.
    Keep,
    /// The open chunk is forgotten.
    Drop,
    /// Some of the oldest slots are forgotten: this share of those that are in finished segments.
    Evict(f64),
    /// Everything is forgotten.
    Reset,
}

/// A random script of `n` operations after the first token.
pub fn random(config: &Config, seed: u64, n: usize) -> Vec<Op> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let r = &mut random;
    let mut ops = vec![Op::Text(vec![config.bos_token_id], Want::Last), Op::Keep];
    for _ in 0..n {
        let folds = config.fold.is_some();
        ops.push(match r.random_range(0..12) {
            0..5 => Op::Text(text(config, r), want(r)),
            5..9 if folds => {
                let pages = [1, 1, 1, 2, 3][r.random_range(0..5)];
                Op::Fold((0..pages).map(|_| page(r)).collect(), want(r))
            }
            5..9 => Op::Text(text(config, r), Want::All),
            9 => Op::Keep,
            10 => Op::Drop,
            _ => Op::Evict(r.random_range(0.0..0.7)),
        });
    }
    ops.push(Op::Text(text(config, r), Want::All));
    ops
}

fn want(r: &mut impl Rng) -> Want {
    [Want::All, Want::All, Want::Last, Want::Kept, Want::Nothing][r.random_range(0..5)]
}

fn text(config: &Config, r: &mut impl Rng) -> Vec<u32> {
    let n = [1, 1, 2, 4, 5, 9, 17, 33, 65][r.random_range(0..9)];
    (0..n)
        .map(|_| r.random_range(0..config.text.vocab_size as u32))
        .collect()
}

fn page(r: &mut impl Rng) -> (String, Tint) {
    let n = [0, 1, 3, 8, 15, 30][r.random_range(0..6)];
    let text = (0..n).map(|_| char::from(r.random_range(b'!'..=b'~'))).collect();
    (text, if r.random() { Tint::White } else { Tint::Grey })
}

/// The pages of an [`Op::Fold`].
///
/// # Panics
/// If the model cannot fold.
pub fn draw(config: &Config, pages: &[(String, Tint)]) -> Vec<PageImage> {
    let renderer = PageRenderer::new(config.fold.as_ref().unwrap(), FontStack::embedded());
    pages.iter().map(|(text, tint)| renderer.render(text, *tint)).collect()
}

/// Carries `op` out; gives the logits that it asked for.
///
/// # Errors
/// As the runner's.
pub fn apply(runner: &mut dyn Runner, op: &Op) -> folio_engine::Result<Logits> {
    let config = runner.config().clone();
    let (mut logits, want) = match op {
        Op::Text(ids, want) => (runner.extend(ids, *want).wait()?, *want),
        // A fold has the logits of its last visual token alone.
        Op::Fold(pages, Want::All) => (
            runner.fold(&draw(&config, pages), Want::Last).wait()?.logits,
            Want::Last,
        ),
        Op::Fold(pages, want) => (runner.fold(&draw(&config, pages), *want).wait()?.logits, *want),
        other => {
            match other {
                Op::Keep => runner.keep_open(),
                Op::Drop => runner.drop_open(),
                Op::Evict(share) => runner.evict((share * runner.context().memory_slots() as f64) as usize),
                _ => runner.reset(),
            }
            return Ok(Logits::default());
        }
    };
    if want == Want::Kept && logits.data.is_empty() {
        logits = runner.kept_logits().wait()?;
    }
    Ok(logits)
}

/// The largest deviation of a row of `found` from `right`, relative to that row's largest logit.
pub fn deviation(found: &Logits, right: &Logits) -> f64 {
    assert_eq!(
        (found.rows(), found.vocab),
        (right.rows(), right.vocab),
        "shape of the logits"
    );
    let rows = (0..right.rows()).map(|i| {
        let most =
            |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, |a: f32, b| if b.is_nan() { b } else { a.max(b) });
        let off = most(&mut found.row(i).iter().zip(right.row(i)).map(|(a, b)| (a - b).abs()));
        f64::from(off / most(&mut right.row(i).iter().map(|b| b.abs())))
    });
    rows.fold(0.0, |a, b| if b.is_nan() { b } else { a.max(b) })
}

/// The bound: the largest relative error of logits.
pub const BOUND: f64 = 1e-3;

/// Lets two runners follow `ops`; gives the largest [`deviation`] of `found` from `right`.
///
/// # Panics
/// If they differ by more than [`BOUND`] or keep other books, naming the operation.
pub fn follow(found: &mut dyn Runner, right: &mut dyn Runner, ops: &[Op], what: &str) -> f64 {
    let (mut worst, mut rows) = (0.0, 0);
    found.reset();
    right.reset();
    for (i, op) in ops.iter().enumerate() {
        let b = apply(right, op).unwrap();
        let a = apply(found, op).unwrap();
        assert_eq!(
            found.context(),
            right.context(),
            "{what}: books after operation {i}, {op:?}"
        );
        let off = deviation(&a, &b);
        assert!(
            off <= BOUND,
            "{what}: off by {off:e} at operation {i}, {op:?}\nof {ops:?}"
        );
        worst = f64::max(worst, off);
        rows += b.rows();
    }
    assert!(rows > 0, "{what}: the script asked for no logits");
    worst
}
