//! Drawing.

use super::{PANELS, Panel, Run};
use crate::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::fmt::Display;

/// Width and height of one panel, in pixels.
pub const SIZE: (u32, u32) = (640, 320);
/// Width of it that names the curves.
const LEGEND: u32 = 160;
/// Panels side by side.
const COLUMNS: usize = 2;

/// Colours that stay apart, on white.
const COLOURS: [RGBColor; 10] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(255, 127, 14),
    RGBColor(148, 103, 189),
    RGBColor(23, 190, 207),
    RGBColor(140, 86, 75),
    RGBColor(227, 119, 194),
    RGBColor(127, 127, 127),
    RGBColor(188, 189, 34),
];

/// One curve, ready to draw.
struct Curve {
    label: String,
    colour: RGBAColor,
    points: Vec<(f64, f64)>,
}

/// The runs' curves over each other, panel by panel, as one SVG document.
///
/// # Errors
/// Runs without anything to draw.
pub fn draw(runs: &[Run]) -> Result<String> {
    let panels: Vec<(&Panel, Vec<Curve>)> = PANELS
        .iter()
        .map(|panel| (panel, curves(panel, runs)))
        .filter(|(_, curves)| !curves.is_empty())
        .collect();
    if panels.is_empty() {
        return Err(Error::Argument("the metrics hold no figure to draw".to_owned()));
    }
    let points = || {
        panels
            .iter()
            .flat_map(|(_, curves)| curves)
            .flat_map(|curve| &curve.points)
    };
    let steps = range(points().map(|p| p.0), 0.0);
    let rows = panels.len().div_ceil(COLUMNS);
    let mut svg = String::new();
    {
        let size = (SIZE.0 * COLUMNS as u32, SIZE.1 * rows as u32);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        for (area, (panel, curves)) in root.split_evenly((rows, COLUMNS)).iter().zip(&panels) {
            draw_panel(area, panel.title, curves, steps.clone())?;
        }
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

/// A panel's curves, run by run. Rates that are 0 all along are no curves. Of one run, every curve has its colour; of
/// several, every run, and its curves have shades.
fn curves(panel: &Panel, runs: &[Run]) -> Vec<Curve> {
    let mut curves = Vec::new();
    for (r, run) in runs.iter().enumerate() {
        for (s, (key, name)) in panel.series.iter().enumerate() {
            let points = run.points(key);
            if points.iter().all(|p| p.1 == 0.0) {
                continue;
            }
            let (label, colour) = if runs.len() > 1 {
                let shade = [1.0, 0.6, 0.35, 0.2][s.min(3)];
                (format!("{}: {name}", run.name), COLOURS[r % COLOURS.len()].mix(shade))
            } else {
                ((*name).to_owned(), COLOURS[s % COLOURS.len()].to_rgba())
            };
            curves.push(Curve { label, colour, points });
        }
    }
    curves
}

/// From the least to the most, with a margin; never empty.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> std::ops::Range<f64> {
    let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    let room = if most > least {
        (most - least) * margin
    } else {
        most.abs().max(1.0) * 0.1
    };
    least - room..most + room
}

fn draw_panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    curves: &[Curve],
    steps: std::ops::Range<f64>,
) -> Result<()> {
    let y = range(curves.iter().flat_map(|curve| curve.points.iter().map(|p| p.1)), 0.06);
    let small = y.end.abs().max(y.start.abs()) < 0.02;
    // Beside the curves, so that it covers none.
    let (plot, legend) = area.split_horizontally(SIZE.0 - LEGEND);
    let mut chart = ChartBuilder::on(&plot)
        .caption(title, ("sans-serif", 15))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(58)
        .build_cartesian_2d(steps, y)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_labels(7)
        .y_labels(7)
        .x_desc("step")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| number(*y, small))
        .label_style(("sans-serif", 11))
        .draw()
        .map_err(failed)?;
    for (i, curve) in curves.iter().enumerate() {
        let style = curve.colour.stroke_width(2);
        // A lone point would be no line.
        let size = if curve.points.len() == 1 { 3 } else { 0 };
        let series = LineSeries::new(curve.points.iter().copied(), style).point_size(size);
        chart.draw_series(series).map_err(failed)?;
        let y = 40 + 16 * i as i32;
        legend
            .draw(&PathElement::new([(2, y), (18, y)], style))
            .map_err(failed)?;
        let label = Text::new(curve.label.clone(), (24, y - 6), ("sans-serif", 11));
        legend.draw(&label).map_err(failed)?;
    }
    Ok(())
}

fn number(y: f64, small: bool) -> String {
    if y == 0.0 {
        "0".to_owned()
    } else if small {
        format!("{y:.1e}")
    } else if y.abs() >= 100.0 {
        format!("{y:.0}")
    } else {
        format!("{y:.2}")
    }
}

fn failed(error: impl Display) -> Error {
    Error::Argument(format!("the curves cannot be drawn: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn run(name: &str, lines: &[&str]) -> Run {
        Run::parse(name.to_owned(), &(lines.join("\n") + "\n")).unwrap()
    }

    #[test]
    fn every_panel_with_data_is_drawn_with_its_curves() {
        let one = run(
            "one",
            &[
                r#"{"step":1,"loss":5.0,"ocr_loss":6.0,"tokens_per_s":700.0,"lr":{"vision":0.0}}"#,
                r#"{"step":2,"loss":4.0,"ocr_loss":5.5,"tokens_per_s":710.0,"lr":{"vision":0.0}}"#,
                r#"{"step":2,"eval_folded_loss":4.5,"eval_none_loss":4.6}"#,
            ],
        );
        let svg = draw(std::slice::from_ref(&one)).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for title in ["training: nats", "validation: nats", "text tokens a second"] {
            assert!(svg.contains(title), "{title}");
        }
        assert!(
            !svg.contains("learning rates") && !svg.contains("GFLOP"),
            "there is nothing to draw there"
        );
        assert!(svg.matches("<polyline").count() >= 3);
        let other = run("other", &[r#"{"step":1,"loss":5.0}"#]);
        let svg = draw(&[one, other]).unwrap();
        assert!(svg.contains("one: olm") && svg.contains("other: olm"));
        let empty = run("empty", &[r#"{"step":1}"#]);
        assert!(draw(&[empty]).unwrap_err().to_string().contains("no figure"));
    }

    #[test]
    fn ranges_hold_all_values_and_are_never_empty() {
        let found = range([1.0, 3.0, 2.0].into_iter(), 0.1);
        assert!(found.start < 1.0 && found.end > 3.0);
        let lone = range([0.0].into_iter(), 0.1);
        assert!(lone.start < 0.0 && lone.end > 0.0);
    }
}
