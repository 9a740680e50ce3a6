//! Curves of runs as one SVG, from their `metrics.jsonl`.

mod draw;
mod read;

pub use draw::{SIZE, draw};
pub use read::Run;

/// One diagram: a title and the keys of the lines in it.
#[derive(Debug, Clone, Copy)]
pub struct Panel {
    /// Above it.
    pub title: &'static str,
    /// `(key in metrics.jsonl, what it is called)`; a dot leads into an object.
    pub series: &'static [(&'static str, &'static str)],
}

/// What is drawn of a run, in order; panels without data are left out.
pub const PANELS: [Panel; 11] = [
    Panel {
        title: "training: nats a text token",
        series: &[
            ("loss", "olm"),
            ("ocr_loss", "ocr"),
            ("caption_loss", "caption"),
            ("sft_loss", "sft"),
        ],
    },
    Panel {
        title: "training: after a fold, nats a token",
        series: &[("first16_loss", "first 16 tokens"), ("first_loss", "first token")],
    },
    Panel {
        title: "validation: nats a token",
        series: &[
            ("eval_folded_loss", "folded"),
            ("eval_none_loss", "none"),
            ("eval_first16_loss", "folded, first 16"),
            ("eval_none_first16_loss", "none, first 16"),
        ],
    },
    Panel {
        title: "validation: reading back, nats a token",
        series: &[
            ("eval_ocr_first_loss", "own page"),
            ("eval_ocr_wrong_loss", "wrong page"),
        ],
    },
    Panel {
        title: "training: auxiliary losses",
        series: &[
            ("cells_loss", "cells"),
            ("tokens_loss", "tokens"),
            ("directions_loss", "directions"),
            ("next_loss", "after a strip"),
        ],
    },
    Panel {
        title: "learning rates",
        series: &[
            ("lr.embedding", "embedding"),
            ("lr.language_model", "language model"),
            ("lr.vision", "vision"),
            ("lr.aligner", "aligner"),
        ],
    },
    Panel {
        title: "text tokens a second",
        series: &[("tokens_per_s", "tokens/s")],
    },
    Panel {
        title: "GFLOP/s achieved",
        series: &[("flops_per_s", "GFLOP/s")],
    },
    Panel {
        title: "validation: tokens of a page read back right, share",
        series: &[("eval_ocr_exact", "exact")],
    },
    Panel {
        title: "waiting for data between lines, seconds",
        series: &[("wait_s", "waited")],
    },
    Panel {
        title: "memory, MB",
        series: &[("rss_mb", "resident")],
    },
];
