//! A batch divided among threads.

use crate::data::Sample;

/// At most `parts` shares of `samples`, about as much work each: the longest samples first, each to whoever has least.
/// A function of the samples alone.
pub(crate) fn shares(samples: &[Sample], parts: usize) -> Vec<Vec<&Sample>> {
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(work(&samples[i])));
    let mut shares = vec![(0, Vec::new()); parts.clamp(1, samples.len().max(1))];
    for i in order {
        if let Some((load, share)) = shares.iter_mut().min_by_key(|(load, _)| *load) {
            *load += work(&samples[i]);
            share.push(i);
        }
    }
    shares
        .into_iter()
        .map(|(_, mut share)| {
            // In the batch's order, so that a batch of one share is the batch.
            share.sort_unstable();
            share.into_iter().map(|i| &samples[i]).collect()
        })
        .collect()
}

/// Rows that a sample takes in the decoder and in the encoder.
fn work(sample: &Sample) -> usize {
    sample
        .chunks
        .iter()
        .map(|chunk| chunk.ids.len() + 2 * chunk.slots)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ChunkSample, Form, SampleKind};
    use proptest::prelude::*;

    fn sample(number: usize, tokens: usize) -> Sample {
        Sample {
            kind: SampleKind::Olm,
            document: number,
            start: 0,
            chunks: vec![ChunkSample {
                ids: vec![0; tokens],
                pages: Vec::new(),
                slots: 0,
                text: String::new(),
                cells: Vec::new(),
                patch_tokens: Vec::new(),
                form: Form::Page,
                learn: true,
                given: 0,
            }],
        }
    }

    proptest! {
        #[test]
        fn every_sample_is_in_one_share_and_none_has_much_more(
            lengths in proptest::collection::vec(1usize..200, 1..40),
            parts in 1usize..6,
        ) {
            let samples: Vec<Sample> = lengths.iter().enumerate().map(|(i, &n)| sample(i, n)).collect();
            let shares = shares(&samples, parts);
            prop_assert_eq!(shares.len(), parts.min(samples.len()));
            prop_assert!(shares.iter().all(|share| !share.is_empty() && share.is_sorted_by_key(|s| s.document)));
            let mut all: Vec<usize> = shares.iter().flatten().map(|s| s.document).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..samples.len()).collect::<Vec<_>>());
            let loads: Vec<usize> = shares.iter().map(|s| s.iter().map(|s| s.tokens()).sum()).collect();
            let longest = lengths.iter().max().copied().unwrap_or(0);
            let (most, least) = (loads.iter().max().copied(), loads.iter().min().copied());
            prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= longest), "{:?}", loads);
        }
    }
}
