//! `folio bench --counts`.

use folio_engine::Wait;
use folio_engine::cost;
use folio_engine::runner::{Counts, DrawRequest, Runner, Want};

use crate::failure::usage;
use crate::model::{Model, ModelArgs, Wish};
use crate::output;

/// Tokens that are decoded to be counted.
const TOKENS: usize = 8;

#[derive(serde::Serialize)]
struct Report {
    device: String,
    tokens: usize,
    num_hidden_layers: usize,
    dispatches_per_token: f64,
    submits_per_token: f64,
    readback_bytes_per_token: f64,
    kv_bytes: u64,
    kv_slots: u64,
    kv_bytes_per_slot: u64,
    /// What `engine/cost` says that one slot takes.
    cost_kv_bytes_per_slot: u64,
}

/// Decodes a few tokens and reports.
pub(super) fn run(args: &ModelArgs, json: bool) -> anyhow::Result<()> {
    let model = Model::open(args)?;
    let mut runner = model.runner(args, Wish::default())?;
    let report = count(runner.as_mut())?;
    output::print(&if json { output::pretty(&report)? } else { table(&report) })
}

fn count(runner: &mut dyn Runner) -> anyhow::Result<Report> {
    let bos = runner.config().bos_token_id;
    let text = runner.config().text.clone();
    runner.reset();
    let counts = |runner: &dyn Runner| {
        runner
            .counts()
            .ok_or_else(|| usage("--counts: the CPU runner launches no kernels; use --device gpu"))
    };
    counts(runner)?;
    runner.extend(&[bos], Want::Kept).wait()?;
    let mut id = draw(runner)?;
    let before = counts(runner)?;
    for _ in 0..TOKENS {
        runner.extend(&[id], Want::Kept).wait()?;
        id = draw(runner)?;
    }
    let after = counts(runner)?;
    let each = |get: fn(&Counts) -> u64| (get(&after) - get(&before)) as f64 / TOKENS as f64;
    let per_slot = runner.kv_bytes_per_slot() as u64;
    Ok(Report {
        device: runner.device(),
        tokens: TOKENS,
        num_hidden_layers: text.num_hidden_layers,
        dispatches_per_token: each(|c| c.dispatches),
        submits_per_token: each(|c| c.submits),
        readback_bytes_per_token: each(|c| c.readback_bytes),
        kv_bytes: after.kv_bytes,
        kv_slots: after.kv_bytes / per_slot,
        kv_bytes_per_slot: per_slot,
        cost_kv_bytes_per_slot: cost::kv_bytes_per_slot(&text, 4),
    })
}

fn draw(runner: &mut dyn Runner) -> anyhow::Result<u32> {
    match runner.draw(&DrawRequest::greedy()).wait()? {
        Some(drawn) => Ok(drawn.id),
        None => anyhow::bail!("this runner cannot draw on its device"),
    }
}

fn table(r: &Report) -> String {
    format!(
        "{}, {} tokens decoded\n\
         launches per token         {:>10.1}   ({} layers: at most 9 × layers + 8 = {})\n\
         submissions per token      {:>10.1}\n\
         bytes read back per token  {:>10.1}\n\
         KV bytes held              {:>10}   ({} slots of {} bytes; engine/cost says {})\n",
        r.device,
        r.tokens,
        r.dispatches_per_token,
        r.num_hidden_layers,
        9 * r.num_hidden_layers + 8,
        r.submits_per_token,
        r.readback_bytes_per_token,
        r.kv_bytes,
        r.kv_slots,
        r.kv_bytes_per_slot,
        r.cost_kv_bytes_per_slot,
    )
}
