//! Pages: cells, drawing, patches.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use folio_engine::config::{FoldConfig, PageConfig, preset};
use folio_engine::page::{Cell, FontStack, MAX_MARKS, PageImage, PageRenderer, Patches, Tint, Typesetter};
use sha2::{Digest, Sha256};

/// 40 × 16 cells of 8 × 16 px, 32 strips of 20 cells: tests do not move with the presets.
fn nano() -> FoldConfig {
    let mut fold = preset("folio-nano").unwrap().fold.unwrap();
    (fold.vision.image_width, fold.vision.image_height) = (320, 256);
    (fold.vision.patch_width, fold.vision.patch_height) = (160, 16);
    fold.page = PageConfig {
        font_px: 14.0,
        cell_width: 8,
        cell_height: 16,
        newline: '¶',
    };
    fold
}

fn renderer() -> PageRenderer {
    PageRenderer::new(&nano(), FontStack::embedded())
}

fn cell(ch: char, column: usize, row: usize, width: usize) -> Cell {
    Cell {
        ch,
        column,
        row,
        width,
        mark: false,
    }
}

const PROSE: &str = "The lighthouse keeper wrote down the weather every evening, even when there was none.\n\
    \"Nothing to report,\" he wrote, and then he listened to the nothing until it was time to sleep.";

#[test]
fn newline_is_one_visible_cell_and_the_line_goes_on() {
    let cells = Typesetter::with_grid(4, 2, '¶').layout("a\nb\r\nc\rd");
    let drawn: String = cells.iter().map(|c| c.ch).collect();
    assert_eq!(drawn, "a¶b¶c¶d");
    assert_eq!(cells[4], cell('c', 0, 1, 1));
}

#[test]
fn wide_characters_never_straddle_a_line() {
    let typesetter = Typesetter::with_grid(3, 2, '¶');
    assert_eq!(
        typesetter.layout("a水火"),
        [cell('a', 0, 0, 1), cell('水', 1, 0, 2), cell('火', 0, 1, 2)]
    );
    assert_eq!(
        typesetter.layout("水火b"),
        [cell('水', 0, 0, 2), cell('火', 0, 1, 2), cell('b', 2, 1, 1)]
    );
    assert!(!typesetter.fits("水火木"));
    assert_eq!(typesetter.split("水火木"), ("水火", "木"));
}

#[test]
fn marks_share_the_cell_before_them_up_to_a_limit() {
    let typesetter = Typesetter::with_grid(4, 1, '¶');
    let cells = typesetter.layout("xe\u{301}y");
    assert_eq!(
        cells[2],
        Cell {
            ch: '\u{301}',
            column: 1,
            row: 0,
            width: 1,
            mark: true
        }
    );
    assert_eq!(cells[3], cell('y', 2, 0, 1));
    assert_eq!(
        typesetter.layout("\u{301}")[0],
        cell('\u{301}', 0, 0, 1),
        "nothing before it: a cell of its own"
    );
    // A flood of marks cannot put endless text on a page.
    let most = 4 * (1 + usize::from(MAX_MARKS));
    assert!(typesetter.fits(&"\u{301}".repeat(most)));
    assert!(!typesetter.fits(&"\u{301}".repeat(most + 1)));
}

#[test]
fn tabs_are_blank_and_control_characters_show() {
    let page = renderer().render("\t\u{7}", Tint::White);
    let blank = |column: usize| (0..16).all(|y| page.pixels[y * 320 + column * 8..][..8].iter().all(|&p| p == 255));
    assert!(blank(0));
    assert!(!blank(1));
    assert!(blank(2));
}

#[test]
fn a_missing_glyph_is_a_visible_box() {
    let ink = |text: &str| renderer().render(text, Tint::White);
    assert_eq!(ink("\u{10FFFD}"), ink("\u{7}"), "no font: the same box");
    assert_ne!(ink("\u{10FFFD}"), ink(" "));
    assert_ne!(ink("水"), ink("  "), "a wide box without a font for it");
}

#[test]
fn every_ascii_character_and_the_newline_mark_have_a_glyph() {
    let fonts = FontStack::embedded();
    assert!(('!'..='~').chain("äöüßéèñç–—‘’“”…€".chars()).all(|c| fonts.covers(c)));
    for name in folio_engine::config::PRESETS {
        let mark = preset(name).unwrap().fold.unwrap().page.newline;
        assert!(fonts.covers(mark), "{name}: {mark}");
    }
}

#[test]
fn same_text_same_bytes() {
    let page = renderer().render(PROSE, Tint::White);
    assert_eq!(page, renderer().render(PROSE, Tint::White));
    let shared = renderer();
    let clone = shared.clone();
    let other = std::thread::spawn(move || clone.render(PROSE, Tint::White))
        .join()
        .unwrap();
    assert_eq!(page, other);
    assert_eq!(page.to_png(), shared.render(PROSE, Tint::White).to_png());
    // Golden: native and WASM must both give exactly this.
    let hash: String = Sha256::digest(&page.pixels)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(hash, GOLDEN);
}
const GOLDEN: &str = "d0151d5d9a635f98dc4214748dc4c6fa5d2ac12ec7fb84d12ee9ed8cbc7b4400";

#[test]
fn png_round_trip_keeps_every_pixel() {
    for tint in [Tint::White, Tint::Grey] {
        let page = renderer().render(PROSE, tint);
        assert_eq!(page.background, tint.value());
        assert_eq!(PageImage::from_png(&page.to_png(), "page").unwrap(), page);
    }
    let error = PageImage::from_png(b"GIF89a", "x.png").unwrap_err().to_string();
    assert!(error.starts_with("x.png: "), "{error}");
}

#[test]
fn grey_and_white_pages_differ_by_background_only() {
    let (white, grey) = (
        renderer().render(PROSE, Tint::White),
        renderer().render(PROSE, Tint::Grey),
    );
    assert_eq!(white.pixels.iter().min(), grey.pixels.iter().min());
    for (w, g) in white.pixels.iter().zip(&grey.pixels) {
        assert_eq!(*w == 255, *g == 224);
    }
    assert_eq!(Patches::ink_slots(&white, &nano()), Patches::ink_slots(&grey, &nano()));
}

#[test]
fn blank_patches_at_the_end_take_no_slots() {
    let mut config = nano();
    let slots = |text: &str, config: &FoldConfig| {
        let page = renderer().render(text, Tint::White);
        let patches = Patches::new(&page, config);
        assert_eq!(patches.slots, Patches::ink_slots(&page, config));
        assert_eq!(patches.data.len(), patches.slots * config.vision.patch_len());
        patches.slots
    };
    assert_eq!(slots("", &config), 1);
    assert_eq!(slots("a", &config), 1);
    assert_eq!(slots(&"a".repeat(20), &config), 1);
    assert_eq!(slots(&"a".repeat(21), &config), 2);
    assert_eq!(slots(&("a".to_owned() + &" ".repeat(300)), &config), 1);
    assert_eq!(
        slots(&(" ".repeat(60) + "a"), &config),
        4,
        "blank patches before ink stay"
    );
    assert_eq!(slots(&"a".repeat(640), &config), 32);
    config.skip_blank_patches = false;
    assert_eq!(slots("a", &config), 32);
}

#[test]
fn patches_are_flattened_by_channel_row_column() {
    let mut config = nano();
    config.vision.num_channels = 3;
    let page = renderer().render(PROSE, Tint::White);
    let patches = Patches::new(&page, &config);
    // Patch 3 = second line, right half; its pixel (channel 2, row 5, column 9).
    let value = patches.data[3 * config.vision.patch_len() + 2 * 16 * 160 + 5 * 160 + 9];
    let pixel = page.pixels[(16 + 5) * 320 + 160 + 9];
    assert_eq!(value, (f32::from(pixel) / 255.0 - 0.5) / 0.5);
}

#[test]
fn unusable_fonts_give_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("text.ttf");
    std::fs::write(&file, "this is a letter, not a font").unwrap();
    let not_a_font = FontStack::load(&[&file]).unwrap_err().to_string();
    assert!(
        not_a_font.contains("text.ttf") && not_a_font.contains("not a font"),
        "{not_a_font}"
    );
    let missing = FontStack::load(&[dir.path().join("none.ttf")]).unwrap_err().to_string();
    assert!(missing.contains("none.ttf") && !missing.contains('\n'), "{missing}");
    std::fs::write(&file, epaint_default_fonts::HACK_REGULAR).unwrap();
    let face = FontStack::load(&[format!("{}#3", file.display())])
        .unwrap_err()
        .to_string();
    assert!(face.contains("no face 3"), "{face}");
}

#[test]
fn a_user_font_comes_first_and_the_embedded_one_fills_in() {
    let ubuntu = epaint_default_fonts::UBUNTU_LIGHT.to_vec();
    let fonts = FontStack::from_bytes(vec![(ubuntu, 0, "ubuntu".into())]).unwrap();
    assert_ne!(fonts.fingerprint(), FontStack::embedded().fingerprint());
    let (hack, user) = (renderer(), PageRenderer::new(&nano(), fonts));
    assert_ne!(hack.render("Wim", Tint::White), user.render("Wim", Tint::White));
    // Hack has the box drawings, Ubuntu has not.
    assert_eq!(hack.render("╬", Tint::White), user.render("╬", Tint::White));
    assert_ne!(user.render("╬", Tint::White), user.render("\u{7}", Tint::White));
}

/// Where Debian's `fonts-noto-cjk` puts the font; `FOLIO_CJK_FONT` names another place.
const NOTO_CJK: &str = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc";

#[test]
fn chinese_is_drawn_with_a_users_font() {
    let file = std::env::var("FOLIO_CJK_FONT").unwrap_or_else(|_| NOTO_CJK.to_owned());
    if !std::path::Path::new(&file).exists() {
        eprintln!("skipped: no font with Chinese at {file} (Debian: fonts-noto-cjk; or set FOLIO_CJK_FONT)");
        return;
    }
    // Face 2 of the collection is simplified Chinese.
    let fonts = FontStack::load(&[format!("{file}#2")]).unwrap();
    let renderer = PageRenderer::new(&nano(), fonts);
    let text = "灯塔看守人每天晚上都记下云。";
    let characters: Vec<PageImage> = text
        .chars()
        .map(|c| renderer.render(&c.to_string(), Tint::White))
        .collect();
    let missing = renderer.render("\u{10FFFD}", Tint::White);
    for (i, a) in characters.iter().enumerate() {
        assert_ne!(*a, missing);
        assert!(!characters[..i].contains(a), "two characters look the same: {i}");
    }
    // A character fills most of its two cells.
    let inked: Vec<usize> = (0..16)
        .filter(|x| (0..16).any(|y| characters[0].pixels[y * 320 + x] < 128))
        .collect();
    assert!(inked.len() >= 10, "{inked:?}");
}
