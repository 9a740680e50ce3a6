//! What a token costs, as the runtime itself counts it (`folio bench --counts` prints the same).

use crate::adapter::each;
use folio_engine::Wait;
use folio_engine::cost::kv_bytes_per_slot;
use folio_engine::runner::{Counts, DrawRequest, Runner, Want};
use folio_tests::models;

const TOKENS: u64 = 4;

#[test]
fn a_token_is_one_submit_few_launches_and_a_few_bytes_back() {
    each("a_token_is_one_submit_few_launches_and_a_few_bytes_back", |adapter| {
        let style = adapter.styles()[0];
        let mut machine = adapter.open(style);
        for (name, config) in models::all() {
            let mut runner = models::on(machine, &config, 5);
            let mut write = |ids: &[u32]| {
                runner.extend(ids, Want::Kept).wait().unwrap();
                let drawn = runner.draw(&DrawRequest::greedy()).wait().unwrap().unwrap();
                (drawn.id, runner.counts().unwrap())
            };
            // So many that attention is split among workgroups, and merged.
            let (mut id, before) = write(&(0..160).map(|i| i % 200).collect::<Vec<_>>());
            let mut after = before;
            for _ in 0..TOKENS {
                (id, after) = write(&[id]);
            }
            let each = |of: fn(&Counts) -> u64| of(&after) - of(&before);
            let layers = config.text.num_hidden_layers as u64;
            assert!(each(|c| c.dispatches) <= TOKENS * (9 * layers + 8), "{name}: {after:?}");
            assert_eq!(each(|c| c.submits), TOKENS, "{name}");
            assert!(each(|c| c.readback_bytes) <= TOKENS * 256, "{name}: {after:?}");
            let slot = kv_bytes_per_slot(&config.text, 4);
            assert_eq!(runner.kv_bytes_per_slot() as u64, slot, "{name}");
            assert_eq!(after.kv_bytes % slot, 0, "{name}: whole slots of {slot} bytes");
            machine = runner.into_machine();
        }
    });
}
