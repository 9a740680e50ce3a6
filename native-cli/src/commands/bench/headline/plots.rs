//! The figures as SVG.

use std::path::Path;

use anyhow::{Context, anyhow};
use plotters::prelude::*;

use super::report::{Pair, Report, Side};

/// A line: its name, colour and points.
struct Line {
    name: String,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

const FULL: RGBColor = RGBColor(176, 87, 43);
const FOLDED: RGBColor = RGBColor(31, 97, 141);
const OTHER: RGBColor = RGBColor(46, 125, 80);

/// Writes first_token.svg, decode.svg (if something was measured), prefill_flops.svg and kv.svg into `dir`.
pub(super) fn write(report: &Report, dir: &Path) -> anyhow::Result<()> {
    let lines = |get: &dyn Fn(&Side) -> f64| {
        let of = |side: &dyn Fn(&Pair) -> Side| {
            report
                .measured
                .iter()
                .map(|p| (p.prompt_tokens as f64, get(&side(p))))
                .collect::<Vec<_>>()
        };
        vec![
            line("full", FULL, of(&|p| p.full.clone())),
            line("folded", FOLDED, of(&|p| p.folded.clone())),
        ]
    };
    if !report.measured.is_empty() {
        draw(
            &dir.join("first_token.svg"),
            "seconds to the first token",
            "tokens of prompt",
            &lines(&|s| s.first_token_s),
        )?;
        draw(
            &dir.join("decode.svg"),
            "tokens a second while writing",
            "tokens of context",
            &lines(&|s| s.decode_tokens_per_s),
        )?;
    }
    let (mut flops, mut kv) = (Vec::new(), Vec::new());
    for (i, planned) in report.planned.iter().enumerate() {
        let colour = if i == 0 { FOLDED } else { OTHER };
        let prompts = |get: &dyn Fn(&super::planned::Prefill) -> f64| {
            planned
                .prompts
                .iter()
                .map(|p| (p.tokens as f64, get(p) / 1e12))
                .collect()
        };
        let contexts = |get: &dyn Fn(&super::planned::Kv) -> u64| {
            planned
                .contexts
                .iter()
                .map(|c| (c.tokens as f64, get(c) as f64 / 1e9))
                .collect()
        };
        if i == 0 {
            flops.push(line("full", FULL, prompts(&|p| p.full_flops)));
            kv.push(line("full", FULL, contexts(&|c| c.full_bytes)));
        }
        flops.push(line(
            &format!("folded, {}", planned.name),
            colour,
            prompts(&|p| p.folded_flops),
        ));
        kv.push(line(
            &format!("folded, {}", planned.name),
            colour,
            contexts(&|c| c.folded_bytes),
        ));
    }
    draw(
        &dir.join("prefill_flops.svg"),
        "TFLOP to the first token",
        "tokens of prompt",
        &flops,
    )?;
    draw(&dir.join("kv.svg"), "GB of KV (16 bits)", "tokens of context", &kv)
}

fn line(name: &str, colour: RGBColor, points: Vec<(f64, f64)>) -> Line {
    Line {
        name: name.to_owned(),
        colour,
        points,
    }
}

/// One plot: both axes from 0, names at the ends of their lines.
fn draw(path: &Path, what: &str, along: &str, lines: &[Line]) -> anyhow::Result<()> {
    let all = || lines.iter().flat_map(|line| &line.points);
    let most = |get: fn(&(f64, f64)) -> f64| all().map(get).fold(0.0, f64::max).max(1e-9) * 1.08;
    let mut svg = String::new();
    let drawn = (|| -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::with_string(&mut svg, (640, 400)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(what, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..most(|p| p.0), 0.0..most(|p| p.1))?;
        chart
            .configure_mesh()
            .x_desc(along)
            .x_labels(6)
            .y_labels(6)
            .light_line_style(WHITE)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .draw()?;
        for line in lines {
            let colour = line.colour;
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)).point_size(3))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(WHITE)
            .draw()?;
        area.present()?;
        Ok(())
    })();
    drawn.map_err(|e| anyhow!("cannot draw {}: {e}", path.display()))?;
    std::fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))
}
