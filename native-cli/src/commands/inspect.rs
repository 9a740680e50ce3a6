//! `folio inspect`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::builder::RangedU64ValueParser;
use folio_engine::checkpoint::{Checkpoint, tensors};
use folio_engine::config::Config;
use folio_engine::cost::{Load, Parameters, Plan, Side, kv_bytes_per_slot, parameters, plan};

use crate::listener::bytes;
use crate::model::{self, ModelArgs};
use crate::output;

/// Show a model's configuration and sizes, and what a context of N tokens costs.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  folio inspect
  folio inspect --model DIR --tokens 32000 --new-tokens 1000")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Plan memory and FLOPs for a prompt of N tokens, full against folded.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = countable())]
    tokens: Option<usize>,
    /// Tokens to generate after the prompt, in the plan.
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = countable(),
        default_value_t = 0,
        requires = "tokens"
    )]
    new_tokens: usize,
    /// JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// Numbers of tokens whose slots and bytes can be counted.
fn countable() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(0..=1_000_000_000_000)
}

/// A row of the plan: its name, its number, and how that is written.
type Row = (&'static str, fn(&Side) -> f64, fn(f64) -> String);

/// Bytes of a weight and of a KV element in this build's CPU runner.
const F32: u64 = 4;

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let dir = model::find(args.model.model.as_deref())?;
    let config = Config::load(&dir)?;
    let stored = stored(&dir, &config)?;
    let plan = args.tokens.map(|prompt_tokens| {
        let load = Load {
            prompt_tokens,
            generated_tokens: args.new_tokens,
            tokens_per_page: None,
            weight_bytes: F32,
            kv_bytes: F32,
        };
        plan(&config, &load)
    });
    if args.json {
        let config_json: serde_json::Value = serde_json::from_str(&config.to_json())?;
        output::print(&output::pretty(&serde_json::json!({
            "model": dir,
            "config": config_json,
            "parameters": parameters(&config),
            "stored": stored,
            "kv_bytes_per_slot": kv_bytes_per_slot(&config.text, F32),
            "plan": plan,
        }))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = format!("{}\n", dir.display());
    describe(&mut out, &config)?;
    sizes(&mut out, &parameters(&config))?;
    match &stored {
        Some(stored) => stored_line(&mut out, stored)?,
        None => writeln!(out, "stored    no weights in this folder")?,
    }
    if let (Some(plan), Some(tokens)) = (&plan, args.tokens) {
        table(
            &mut out,
            plan,
            tokens,
            args.new_tokens,
            config.text.max_position_embeddings,
        )?;
    }
    output::print(&out)?;
    Ok(ExitCode::SUCCESS)
}

fn describe(out: &mut String, config: &Config) -> std::fmt::Result {
    let t = &config.text;
    writeln!(
        out,
        "decoder   {:?}: {} layers, width {}, {} heads of {} ({} for keys), MLP {}, vocabulary {}{}",
        t.model_type,
        t.num_hidden_layers,
        t.hidden_size,
        t.num_attention_heads,
        t.head_dim,
        t.num_key_value_heads,
        t.intermediate_size,
        t.vocab_size,
        if t.tie_word_embeddings { ", head tied" } else { "" },
    )?;
    writeln!(
        out,
        "context   at most {} slots of {}",
        t.max_position_embeddings,
        bytes(kv_bytes_per_slot(t, F32) as usize)
    )?;
    let Some(f) = &config.fold else {
        return writeln!(out, "vision    none: a text-only model, use --context full");
    };
    let v = &f.vision;
    writeln!(
        out,
        "vision    {} layers, width {}, {} heads; pages of {}×{} px in patches of {}×{}",
        v.num_hidden_layers,
        v.hidden_size,
        v.num_attention_heads,
        v.image_width,
        v.image_height,
        v.patch_width,
        v.patch_height,
    )?;
    let (columns, rows) = f.cell_grid();
    writeln!(
        out,
        "folding   a chunk of {} tokens becomes {} visual tokens ({}×); a page holds {columns}×{rows} characters{}{}{}",
        f.chunk_tokens,
        f.visual_tokens,
        f.chunk_tokens as f64 / f.visual_tokens as f64,
        if f.skip_blank_patches {
            "; blank patches are skipped"
        } else {
            ""
        },
        if f.visual_sees_text {
            "; pages see their text"
        } else {
            ""
        },
        match f.reread_tokens {
            0 => String::new(),
            n => format!("; its last {n} tokens are read again as text in front of the next chunk"),
        },
    )
}

fn sizes(out: &mut String, p: &Parameters) -> std::fmt::Result {
    let million = |n: u64| format!("{:.2} M", n as f64 / 1e6);
    writeln!(
        out,
        "sizes     {} parameters: embedding {}, decoder {}, head {}, vision {}, aligner {}; {} as f32, {} as f16",
        million(p.total()),
        million(p.embedding),
        million(p.decoder),
        million(p.head),
        million(p.vision),
        million(p.aligner),
        bytes(p.bytes(4) as usize),
        bytes(p.bytes(2) as usize),
    )
}

/// The tensors of one storage type.
#[derive(serde::Serialize, Default)]
struct Stored {
    tensors: usize,
    bytes: usize,
}

/// How the weights are stored: by the type's name. `None` when there are none (a configuration alone can be planned with).
///
/// # Errors
/// Weights that are not those of `config`.
fn stored(dir: &Path, config: &Config) -> anyhow::Result<Option<BTreeMap<&'static str, Stored>>> {
    if !Checkpoint::is_in(dir) {
        return Ok(None);
    }
    let checkpoint = Checkpoint::open(dir)?;
    checkpoint.check(config)?;
    let mut types: BTreeMap<&'static str, Stored> = BTreeMap::new();
    for spec in tensors(config) {
        let stored = checkpoint.stored_type(&spec)?;
        let of_type = types.entry(stored.name()).or_default();
        of_type.tensors += 1;
        of_type.bytes += stored.row_bytes(spec.columns()).unwrap_or(0) * spec.rows();
    }
    Ok(Some(types))
}

fn stored_line(out: &mut String, stored: &BTreeMap<&'static str, Stored>) -> std::fmt::Result {
    let all = stored.values().map(|s| s.bytes).sum();
    let of_type = |(name, s): (&&str, &Stored)| format!("{} {name} ({})", s.tensors, bytes(s.bytes));
    let types: Vec<String> = stored.iter().map(of_type).collect();
    writeln!(out, "stored    {}; tensors: {}", bytes(all), types.join(", "))
}

fn table(out: &mut String, plan: &Plan, tokens: usize, new_tokens: usize, limit: usize) -> std::fmt::Result {
    writeln!(
        out,
        "\nplan for {tokens} tokens of prompt and {new_tokens} new ones (f32 weights and KV)"
    )?;
    writeln!(out, "{:<22}{:>14}{:>14}{:>9}", "", "full", "folded", "saved")?;
    let rows: [Row; 7] = [
        (
            "slots after the prompt",
            |s| s.prompt_slots as f64,
            |x| format!("{x:.0}"),
        ),
        ("slots at the end", |s| s.slots as f64, |x| format!("{x:.0}")),
        ("slots at most", |s| s.peak_slots as f64, |x| format!("{x:.0}")),
        ("KV at most", |s| s.kv_bytes as f64, |x| bytes(x as usize)),
        ("pages", |s| s.folds as f64, |x| format!("{x:.0}")),
        ("FLOPs, prompt", |s| s.prefill_flops, |x| format!("{x:.2e}")),
        ("FLOPs, generation", |s| s.generate_flops, |x| format!("{x:.2e}")),
    ];
    for (name, value, show) in rows {
        let full = value(&plan.full);
        let folded = plan.folded.as_ref().map(value);
        let saved = folded
            .filter(|_| full > 0.0)
            .map(|f| format!("{:.0}%", 100.0 * (1.0 - f / full)));
        let folded = folded.map_or("-".into(), show);
        writeln!(
            out,
            "{name:<22}{:>14}{folded:>14}{:>9}",
            show(full),
            saved.unwrap_or_default()
        )?;
    }
    writeln!(out, "weights               {:>14}", bytes(plan.weight_bytes as usize))?;
    for (name, side) in [("full", Some(&plan.full)), ("folded", plan.folded.as_ref())] {
        if side.is_some_and(|s| s.peak_slots > limit) {
            writeln!(out, "{name}: does not fit, the model has {limit} slots")?;
        }
    }
    Ok(())
}
