//! Choosing the next token on the machine.

use super::Program;
use crate::gpu::recording::Recording;
use crate::gpu::scratch::{SAMPLE_IDS, SAMPLE_WORDS};
use crate::runner::{DrawRequest, Drawn};
use crate::{Error, Result};
use folio_shaders::sample;

/// Bytes that come back of a draw.
pub(in crate::gpu) const DRAWN_BYTES: u64 = 4 * SAMPLE_WORDS as u64;

impl Program {
    /// Whether the machine can do `request`: otherwise the host draws from the logits.
    pub(in crate::gpu) fn can_draw(request: &DrawRequest<'_>) -> bool {
        request.recent.len() + request.banned.len() <= SAMPLE_IDS
    }

    /// Draws from the first row of logits.
    pub(in crate::gpu) fn draw(&self, rec: &mut Recording, request: &DrawRequest<'_>) {
        let vocab = self.config.text.vocab_size as u32;
        let mut ids: Vec<u32> = Vec::with_capacity(request.recent.len() + request.banned.len() + 1);
        if request.repetition_penalty != 1.0 {
            ids.extend_from_slice(request.recent);
            ids.sort_unstable();
            ids.dedup();
            ids.retain(|&id| id < vocab);
        }
        let recent = ids.len() as u32;
        ids.extend(request.banned.iter().copied().filter(|&id| id < vocab));
        let banned = ids.len() as u32 - recent;
        ids.push(0);
        rec.write(self.scratch.sample_ids, &ids);
        let greedy = request.temperature == 0.0;
        let call = sample::call(
            self.style,
            sample::Params {
                vocab,
                recent,
                banned,
                top_k: request.top_k.min(vocab as usize) as u32,
                penalty: request.repetition_penalty as f32,
                inverse_temperature: if greedy {
                    0.0
                } else {
                    (1.0 / request.temperature) as f32
                },
                top_p: request.top_p as f32,
                min_p: request.min_p as f32,
                uniform_: request.uniform,
                ..Default::default()
            },
            sample::Bindings {
                logits: self.scratch.logits,
                ids: self.scratch.sample_ids,
                result: self.scratch.sampled,
            },
        );
        rec.dispatch(call, [1, 1, 1]);
    }
}

/// What came back: the token.
///
/// # Errors
/// Logits that were not finite.
pub(in crate::gpu) fn decode_draw(bytes: &[u8]) -> Result<Drawn> {
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
    match words[..] {
        [id, logprob, _, 0] => Ok(Drawn {
            id,
            logprob: f64::from(f32::from_bits(logprob)),
        }),
        _ => Err(Error::NotFinite("when a token was drawn on the GPU".into())),
    }
}
