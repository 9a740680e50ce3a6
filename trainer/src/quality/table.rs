//! The report for people: `eval.md`.

use super::report::{Control, Nll, Paired, Report, Unfolded};
use crate::offsets::label;
use std::fmt::Write;

/// The report as Markdown.
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(report, &mut out);
    out
}

fn write_all(report: &Report, out: &mut String) -> std::fmt::Result {
    let model = &report.model;
    writeln!(out, "# Evaluation of {}\n", model.name)?;
    writeln!(
        out,
        "{:.1}M parameters, K = {}, β = {}{}{}. {}.\n",
        model.parameters as f64 / 1e6,
        model.chunk_tokens,
        model.visual_tokens,
        if model.visual_sees_text {
            ", pages see the text that they replace"
        } else {
            ""
        },
        match model.reread_tokens {
            0 => String::new(),
            n => format!(", the last {n} tokens of a page are read again"),
        },
        report.texts
    )?;
    let scores = &report.scores;
    writeln!(out, "## Teacher-forced NLL, nats a token after the first chunk\n")?;
    writeln!(
        out,
        "A model is only fairly judged in a memory that it was trained in: see the controls below.\n"
    )?;
    writeln!(
        out,
        "| memory | NLL | all tokens | less folded, by document |\n|---|---|---|---|"
    )?;
    let reread = scores.reread.as_ref();
    let rows = [
        ("folded", &scores.folded, None),
        ("full", &scores.full, scores.full_less_folded),
        ("window", &scores.window, scores.window_less_folded),
        ("none", &scores.none, scores.none_less_folded),
    ];
    let mut rows = rows.to_vec();
    rows.extend(reread.map(|nll| ("reread only", nll, scores.reread_less_folded)));
    for (name, nll, less) in &rows {
        writeln!(
            out,
            "| {name} | {} | {} | {} |",
            of(nll.mean),
            of(nll.all),
            paired(*less)
        )?;
    }
    let rows: Vec<(&str, &Nll)> = rows.iter().map(|(name, nll, _)| (*name, *nll)).collect();
    by_offset(&rows, scores.chunk_tokens, out)?;
    reading(report, out)?;
    if let Some(found) = &report.continuations {
        writeln!(out, "\n## Continuations\n")?;
        writeln!(
            out,
            "ROUGE-L of {} greedy continuations of {} tokens after {} tokens: **{:.3}** against the text, {:.3} against \
             another document's.",
            found.documents, found.tokens, found.prompt_tokens, found.rouge_l, found.rouge_l_other
        )?;
    }
    controls(&report.controls, scores.chunk_tokens, out)?;
    unfolded(report, out)
}

fn unfolded(report: &Report, out: &mut String) -> std::fmt::Result {
    let Some(first) = report.unfolded.first() else {
        return Ok(());
    };
    writeln!(
        out,
        "\nThe same keys, this model, with {} {} read again as text before the answer: exact keys (characters right; keys \
         whose page was read again).\n",
        first.pages,
        if first.pages == 1 { "page" } else { "pages" }
    )?;
    let rows: Vec<&[Unfolded]> = report.unfolded.chunk_by(|a, b| a.by == b.by).collect();
    let folds: Vec<String> = rows[0].iter().map(|u| u.folds.to_string()).collect();
    writeln!(
        out,
        "| chosen by | {} |\n|---|{}",
        folds.join(" | "),
        "---|".repeat(folds.len())
    )?;
    for row in rows {
        let cell = |u: &Unfolded| format!("{} ({}; {})", percent(u.exact), percent(u.characters), percent(u.found));
        let cells: Vec<String> = row.iter().map(cell).collect();
        writeln!(out, "| {} | {} |", row[0].by, cells.join(" | "))?;
    }
    Ok(())
}

fn reading(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.reading.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Pages read back\n")?;
    writeln!(
        out,
        "Varied: tokens on the page. The ratio is what the page then came to: with blank patches skipped it hardly moves.\n"
    )?;
    writeln!(
        out,
        "| text | tokens asked for | tokens a visual token | characters a visual token | pages | exact | character errors |\n\
         |---|---|---|---|---|---|---|"
    )?;
    for r in &report.reading {
        writeln!(
            out,
            "| {} | {} | {:.2} | {:.1} | {} | {} | {} |",
            r.text,
            r.page_tokens,
            r.ratio,
            r.characters_per_slot,
            r.pages,
            percent(r.exact),
            percent(r.character_error_rate)
        )?;
    }
    Ok(())
}

fn by_offset(rows: &[(&str, &Nll)], most: usize, out: &mut String) -> std::fmt::Result {
    let columns = rows.iter().map(|(_, nll)| nll.by_offset.len()).max().unwrap_or(0);
    writeln!(out, "\nBy offset inside the chunk:\n")?;
    let labels: Vec<String> = (0..columns).map(|i| label(i, most)).collect();
    writeln!(out, "| | {} |\n|---|{}", labels.join(" | "), "---|".repeat(columns))?;
    for (name, nll) in rows {
        let cells: Vec<String> = (0..columns)
            .map(|i| of(nll.by_offset.get(i).copied().flatten()))
            .collect();
        writeln!(out, "| {name} | {} |", cells.join(" | "))?;
    }
    Ok(())
}

fn controls(controls: &[Control], most: usize, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\n## Trained models side by side, each in its own memory\n")?;
    writeln!(out, "| model | NLL | less this model, by document |\n|---|---|---|")?;
    for control in controls {
        let less = control
            .less_model
            .filter(|_| control.folder != controls[0].folder || control.name != controls[0].name);
        writeln!(
            out,
            "| {} | {} | {} |",
            control.name,
            of(control.nll.mean),
            paired(less)
        )?;
    }
    let rows: Vec<(&str, &Nll)> = controls.iter().map(|c| (c.name.as_str(), &c.nll)).collect();
    by_offset(&rows, most, out)?;
    writeln!(
        out,
        "\nA key of 12 letters, asked for after n folds: exact keys (characters right).\n"
    )?;
    probes(controls, out, |c| {
        c.needle
            .iter()
            .map(|n| (n.folds, format!("{} ({})", percent(n.exact), percent(n.characters))))
            .collect()
    })?;
    writeln!(
        out,
        "\nText copied from a cue after n folds: likeliest tokens right (without the text in the context).\n"
    )?;
    probes(controls, out, |c| {
        c.copy
            .iter()
            .map(|n| {
                (
                    n.folds,
                    format!("{} ({})", percent(n.accuracy), percent(n.accuracy_without)),
                )
            })
            .collect()
    })
}

fn probes(
    controls: &[Control],
    out: &mut String,
    cells: impl Fn(&Control) -> Vec<(usize, String)>,
) -> std::fmt::Result {
    let folds: Vec<usize> = controls
        .first()
        .map(|c| cells(c).iter().map(|cell| cell.0).collect())
        .unwrap_or_default();
    let heads: Vec<String> = folds.iter().map(ToString::to_string).collect();
    writeln!(out, "| | {} |\n|---|{}", heads.join(" | "), "---|".repeat(folds.len()))?;
    for control in controls {
        let found = cells(control);
        let row: Vec<&str> = folds
            .iter()
            .map(|n| {
                found
                    .iter()
                    .find(|cell| cell.0 == *n)
                    .map_or("–", |cell| cell.1.as_str())
            })
            .collect();
        writeln!(out, "| {} | {} |", control.name, row.join(" | "))?;
    }
    Ok(())
}

fn of(nll: Option<f64>) -> String {
    nll.map_or_else(|| "–".to_owned(), |nll| format!("{nll:.3}"))
}

fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

fn paired(paired: Option<Paired>) -> String {
    let Some(paired) = paired else {
        return "–".to_owned();
    };
    match paired.standard_error {
        Some(error) => format!("{:+.4} ± {error:.4}", paired.mean),
        None => format!("{:+.4}", paired.mean),
    }
}
