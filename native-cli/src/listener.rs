//! Pulls a session's events: text to stdout, pages to their folder, progress and folds to stderr.

use std::io::IsTerminal;

use folio_engine::Wait;
use folio_engine::session::{Event, FinishReason, Session, Stats};
use indicatif::ProgressBar;

use crate::files::PageFolder;
use crate::output::TextOut;
use crate::{interrupt, progress};

/// What listens to a session.
pub(crate) struct Listener {
    out: TextOut,
    pages: Option<PageFolder>,
    quiet: bool,
    /// Fold notices would stand in the middle of the text when both streams are one terminal.
    tell_folds: bool,
}

/// How a text ended.
pub(crate) struct Ending {
    pub(crate) stats: Stats,
    pub(crate) reason: FinishReason,
    /// The text, as shown.
    pub(crate) text: String,
}

impl Listener {
    /// Listens; pages go to `pages`.
    pub(crate) fn new(pages: Option<PageFolder>, quiet: bool) -> Self {
        let one_terminal = std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
        Self {
            out: TextOut::new(),
            pages,
            quiet,
            tell_folds: !quiet && !one_terminal,
        }
    }

    /// Pulls until the end. Ctrl-C and a reader that went away end the text.
    pub(crate) fn listen(&mut self, session: &mut Session) -> anyhow::Result<Ending> {
        let mut reading: Option<ProgressBar> = None;
        let (mut stats, mut shown, mut writing, mut prompt_pages) = (None, String::new(), false, 0usize);
        loop {
            if interrupt::asked() {
                session.cancel().wait();
            }
            let Some(event) = session.next_event().wait()? else {
                anyhow::bail!("the session ended without a reason")
            };
            match event {
                Event::Loading { done, total } => {
                    let bar = reading.get_or_insert_with(|| progress::bar("reading", 0, self.quiet));
                    bar.set_length(total as u64);
                    bar.set_position(done as u64);
                }
                Event::Token { text, .. } => {
                    if !writing {
                        writing = true;
                        let context = session.context();
                        let slots = context.slots() - context.unfolded_slots();
                        self.end_reading(reading.take(), slots, prompt_pages);
                    }
                    if !self.out.write(&text)? {
                        session.cancel().wait();
                    }
                    shown += &text;
                }
                Event::Page { index, image, .. } => {
                    if let Some(pages) = &self.pages {
                        pages.write(index, &image)?;
                    }
                }
                Event::Folded { .. } if !writing => prompt_pages += 1,
                Event::Folded {
                    index,
                    tokens,
                    slots,
                    context_slots,
                } => {
                    if self.tell_folds {
                        eprintln!("page {index}: {tokens} tokens → {slots} slots, context {context_slots} slots");
                    }
                }
                Event::Unfolded {
                    pages,
                    tokens,
                    context_slots,
                } => {
                    if !writing {
                        writing = true;
                        self.end_reading(reading.take(), context_slots - tokens, prompt_pages);
                    }
                    if self.tell_folds {
                        let pages: Vec<String> = pages.iter().map(ToString::to_string).collect();
                        eprintln!(
                            "read again: page {} ({tokens} tokens), context {context_slots} slots",
                            pages.join(", ")
                        );
                    }
                }
                Event::Stats(s) => stats = Some(s),
                Event::Done { reason, text } => {
                    let slots = session.context().slots();
                    self.end_reading(reading.take(), slots, if writing { 0 } else { prompt_pages });
                    self.out.write(&text)?;
                    self.out.end()?;
                    shown += &text;
                    let Some(stats) = stats else {
                        anyhow::bail!("the session ended without statistics")
                    };
                    return Ok(Ending {
                        stats,
                        reason,
                        text: shown,
                    });
                }
            }
        }
    }

    fn end_reading(&self, bar: Option<ProgressBar>, slots: usize, pages: usize) {
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        if self.tell_folds && pages > 0 {
            eprintln!(
                "read: {pages} page{}, context {slots} slots",
                if pages == 1 { "" } else { "s" }
            );
        }
    }
}

/// The summary, one line or two.
pub(crate) fn summary(stats: &Stats) -> String {
    let mut line = format!("{} tokens", stats.generated_tokens);
    if let Some(rate) = stats.decode_tokens_per_s {
        line += &format!(", {rate:.1} tokens/s");
    }
    if let Some(first) = stats.time_to_first_token_s {
        line += &format!(", the first after {first:.2} s");
    }
    let total = 1 + stats.prompt_tokens + stats.generated_tokens;
    let peak = stats.peak_context_slots;
    line += &format!(
        "; {} folds: at most {peak} slots for {total} tokens ({:.0}%), KV {} instead of {}; ended: {}",
        stats.folds,
        100.0 * peak as f64 / total as f64,
        bytes(stats.kv_bytes_peak),
        bytes(stats.kv_bytes_full),
        reason(stats.finish_reason),
    );
    if let Some(unfold) = &stats.unfold {
        line += &format!(
            "\nunfolded: {} pages read again for {} chunks, {} tokens in {:.2} s; KV of them at most {}, text kept {}",
            unfold.pages_read,
            unfold.times,
            unfold.tokens_read,
            unfold.seconds,
            bytes(unfold.kv_bytes_peak),
            bytes(unfold.text_bytes),
        );
    }
    line
}

fn reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Length => "as many tokens as asked for",
        FinishReason::Eos => "the model ended its text",
        FinishReason::Stop => "stop string",
        FinishReason::ContextFull => "the context is full (max_position_embeddings)",
        FinishReason::Cancelled => "interrupted",
    }
}

/// A number of bytes for people.
pub(crate) fn bytes(n: usize) -> String {
    let mut value = n as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" {
        format!("{n} B")
    } else {
        format!("{value:.1} {unit}")
    }
}
