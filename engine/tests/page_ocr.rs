//! An OCR program reads our presets' pages (spec section 4).
//!
//! Without `tesseract` the tests pass with a printed note, unless `FOLIO_REQUIRE_TESSERACT=1`.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use folio_engine::config::preset;
use folio_engine::page::{FontStack, PageImage, PageRenderer, Tint};
use image::imageops::{FilterType, resize};
use std::process::Command;

const PRESETS: [&str; 2] = ["folio-nano", "smollm2-135m-folded"];

/// Most character errors, as a share of the characters.
const MAX_CER: f64 = 0.05;

const PROSE: &str = "\
The harbour master kept two clocks on his wall, and neither of them was right. \"One is fast and one is slow,\" he told \
every visitor, \"so the truth lies somewhere in between.\"
On quiet mornings, when fog lay over the water and the gulls sat sulking along the pier, he would wind them both and \
listen. They ticked in a slow quarrel: now together, now apart; now one, now the other. Ships came at 6:45, at 9:10, \
and (if the tide allowed) at noon, but nobody had ever missed one.
His daughter laughed at this. She had a watch from the city, thin as a coin, and it was never wrong. \"Then what do you \
do while you wait?\" he asked her, and she had no answer to that.
In the winter of the long frost the watch stopped. She shook it, warmed it in her hands, carried it to the jeweller in \
Mill Street, who looked at it through his glass and sighed. There was nothing to be done before spring. So she sat down \
under the two clocks with her knitting, and for the first time she heard them: tick, and tick; tick, and tick, like two \
old friends who disagree about everything and would not be parted for the world.
\"Well?\" said her father from the doorway, stamping the snow from his boots. \"What time is it?\"
She looked up at the one, and then at the other. \"It is somewhere between ten past four and twenty to five,\" she said, \
\"and the kettle has just boiled.\" He nodded slowly. Outside, over the white harbour, a ship's bell rang, though it was \
not clear for which hour, and both of them were content.";

/// The text that `tesseract` reads on a page at twice its size, or `None` where the program is absent.
fn read(page: PageImage, filter: FilterType) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page.png");
    let image = image::GrayImage::from_raw(page.width as u32, page.height as u32, page.pixels).unwrap();
    resize(&image, 2 * image.width(), 2 * image.height(), filter)
        .save(&file)
        .unwrap();
    let output = match Command::new("tesseract")
        .env("OMP_THREAD_LIMIT", "1")
        .arg(&file)
        .args(["-", "--psm", "6"])
        .output()
    {
        Ok(output) => output,
        Err(e) => {
            let required = std::env::var("FOLIO_REQUIRE_TESSERACT").is_ok_and(|v| v == "1");
            assert!(
                !required,
                "FOLIO_REQUIRE_TESSERACT=1, but tesseract does not start: {e}"
            );
            return None;
        }
    };
    assert!(
        output.status.success(),
        "tesseract: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Characters with every run of whitespace as one space.
fn collapsed(text: &str) -> Vec<char> {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect()
}

/// Levenshtein distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Character errors and characters over all pages of [`PROSE`].
fn errors(preset_name: &str, tint: Tint, filter: FilterType) -> Option<(usize, usize)> {
    let config = preset(preset_name).unwrap().fold.unwrap();
    let renderer = PageRenderer::new(&config, FontStack::embedded());
    let typesetter = renderer.typesetter();
    let (mut wrong, mut total, mut rest) = (0, 0, PROSE);
    while !rest.is_empty() {
        let (text, later) = typesetter.split(rest);
        rest = later;
        let mut lines = vec![String::new(); typesetter.rows()];
        for cell in typesetter.layout(text) {
            lines[cell.row].push(cell.ch);
        }
        let expected = collapsed(&lines.join("\n"));
        wrong += distance(&expected, &collapsed(&read(renderer.render(text, tint), filter)?));
        total += expected.len();
    }
    Some((wrong, total))
}

fn check(tint: Tint, filter: FilterType) {
    for name in PRESETS {
        let Some((wrong, total)) = errors(name, tint, filter) else {
            eprintln!("skipped: tesseract is not installed, so nobody reads the pages of {name}");
            continue;
        };
        let cer = wrong as f64 / total as f64;
        eprintln!(
            "{name}, {tint:?}, {filter:?}: {wrong} of {total} characters wrong ({:.2}%)",
            100.0 * cer
        );
        assert!(total > 1500, "only {total} characters were checked");
        assert!(
            cer <= MAX_CER,
            "{name}, {tint:?}, {filter:?}: character error rate {:.2}%",
            100.0 * cer
        );
    }
}

#[test]
fn tesseract_reads_white_pages_at_twice_their_size() {
    check(Tint::White, FilterType::CatmullRom);
}

#[test]
fn tesseract_reads_grey_pages_at_twice_their_size() {
    check(Tint::Grey, FilterType::Nearest);
}
