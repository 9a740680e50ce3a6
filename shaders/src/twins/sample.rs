//! Twin of `sample.wgsl`: choosing the next token. By sorting, in f64; the kernel's cuts may differ by float rounding
//! where a probability is all but on a threshold.

use super::TwinError;
use super::buffers::Buffers;
use crate::sample::Params;

const LOGITS: usize = 0;
const IDS: usize = 1;
const RESULT: usize = 2;

/// Bits of the result's last word.
const NOT_FINITE: u32 = 1;
const NOTHING: u32 = 2;

pub(super) fn run(b: &mut Buffers<'_, '_>, grid: [usize; 3]) -> Result<(), TwinError> {
    let p: Params = b.params()?;
    if grid != [1, 1, 1] {
        return Err(b.unfit("sampling takes one workgroup"));
    }
    let (recent, banned) = (p.recent as usize, p.banned as usize);
    if recent + banned > b.kernel.constant("MAX_IDS") as usize {
        return Err(b.unfit("more than MAX_IDS recent and banned ids"));
    }
    let raw: Vec<f64> = b
        .floats(LOGITS, 0, p.vocab as usize)?
        .iter()
        .map(|x| f64::from(*x))
        .collect();
    let recent = b.slice(IDS, 0, recent)?.to_vec();
    let banned = b.slice(IDS, recent.len(), banned)?.to_vec();

    let finite = || raw.iter().copied().filter(|x| x.is_finite());
    let largest = finite().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = largest + finite().map(|x| (x - largest).exp()).sum::<f64>().ln();
    let mut flags = if finite().count() == raw.len() { 0 } else { NOT_FINITE };
    let kept = kept(&raw, &recent, &banned, &p);
    let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
    let mut left = f64::from(p.uniform_) * total;
    let drawn = kept.iter().find(|(_, weight)| {
        left -= weight;
        left < 0.0
    });
    let (id, logprob) = match drawn.or(kept.last()) {
        Some((id, _)) => (*id, raw[*id] - log_sum),
        None => {
            flags |= NOTHING;
            (0, 0.0)
        }
    };
    b.set_word(RESULT, 0, id as u32)?;
    b.set_float(RESULT, 1, logprob as f32)?;
    b.set_float(RESULT, 2, if largest.is_finite() { largest as f32 } else { 0.0 })?;
    b.set_word(RESULT, 3, flags)
}

/// The ids that may be drawn, ascending, with their weights.
fn kept(raw: &[f64], recent: &[u32], banned: &[u32], p: &Params) -> Vec<(usize, f64)> {
    let score = |(id, logit): (usize, &f64)| {
        let listed = |ids: &[u32]| ids.contains(&(id as u32));
        let mut score = *logit;
        if listed(recent) {
            let penalty = f64::from(p.penalty);
            score = if score > 0.0 { score / penalty } else { score * penalty };
        }
        // Adding 0 makes -0 into 0: they are equal.
        (score.is_finite() && !listed(banned)).then_some((id, score + 0.0))
    };
    let mut kept: Vec<(usize, f64)> = raw.iter().enumerate().filter_map(score).collect();
    // Likeliest first, of equals the lowest id.
    kept.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let Some(&(_, best)) = kept.first() else { return kept };
    if p.inverse_temperature == 0.0 {
        kept.truncate(1);
        return kept;
    }
    for (_, score) in &mut kept {
        *score = (*score - best) * f64::from(p.inverse_temperature);
    }
    kept.retain(|(_, nats)| *nats > -40.0);
    kept.iter_mut().for_each(|(_, score)| *score = score.exp());
    if p.top_k > 0 {
        kept.truncate(p.top_k as usize);
    }
    if p.top_p < 1.0 {
        let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
        let mut before = 0.0;
        let full = kept.iter().position(|(_, weight)| {
            before += weight;
            before >= f64::from(p.top_p) * total
        });
        kept.truncate(full.map_or(kept.len(), |at| at + 1));
    }
    kept.retain(|(_, weight)| *weight >= f64::from(p.min_p));
    kept.sort_by_key(|(id, _)| *id);
    kept
}
