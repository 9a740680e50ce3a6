//! Pages: properties that hold for any text.
#![allow(clippy::unwrap_used)]

use folio_engine::config::preset;
use folio_engine::page::{FontStack, PageRenderer, Tint, Typesetter};
use proptest::prelude::*;

fn any_text() -> impl Strategy<Value = String> {
    let char = prop_oneof![
        6 => proptest::char::range(' ', '~'),
        1 => Just('\n'),
        1 => Just('\r'),
        1 => Just('\u{301}'),
        2 => proptest::char::range('一', '三'),
        1 => any::<char>(),
    ];
    proptest::collection::vec(char, 0..120).prop_map(|c| c.into_iter().collect())
}

proptest! {
    #[test]
    fn cells_stay_on_the_grid_in_order_and_apart(text in any_text(), columns in 1usize..12, rows in 1usize..8) {
        let typesetter = Typesetter::with_grid(columns, rows, '¶');
        let mut next = 0;
        for c in typesetter.layout(&text) {
            prop_assert!(c.column + c.width <= columns && c.row < rows);
            let at = c.row * columns + c.column;
            if c.mark {
                prop_assert!(at < next);
            } else {
                prop_assert!(at >= next && at <= next + 1, "at most one cell is left blank");
                next = at + c.width;
            }
        }
    }

    #[test]
    fn counting_by_pieces_equals_counting_at_once(text in any_text(), cut in any::<prop::sample::Index>()) {
        let typesetter = Typesetter::with_grid(7, 5, '¶');
        let at = (0..=text.len()).filter(|&i| text.is_char_boundary(i)).collect::<Vec<_>>();
        let (a, b) = text.split_at(at[cut.index(at.len())]);
        let (mut whole, mut parts) = (typesetter.start(), typesetter.start());
        let n = typesetter.advance(&mut whole, &text);
        let mut m = typesetter.advance(&mut parts, a);
        if m == a.len() {
            m += typesetter.advance(&mut parts, b);
        }
        prop_assert_eq!(n, m);
        prop_assert_eq!(whole, parts);
        prop_assert_eq!(typesetter.fits(&text), n == text.len());
        let (fitting, rest) = typesetter.split(&text);
        prop_assert!(typesetter.fits(fitting));
        prop_assert_eq!(fitting.to_owned() + rest, text);
    }

    #[test]
    fn any_text_draws_and_ink_stays_in_its_cells(text in any_text()) {
        let renderer = PageRenderer::new(&preset("folio-nano").unwrap().fold.unwrap(), FontStack::embedded());
        let typesetter = renderer.typesetter();
        let (columns, rows) = (typesetter.columns(), typesetter.rows());
        let page = renderer.render(&text, Tint::White);
        let mut used = vec![false; columns * rows];
        for c in typesetter.layout(&text) {
            used[c.row * columns + c.column..][..c.width].fill(true);
        }
        for (i, &p) in page.pixels.iter().enumerate() {
            let (x, y) = (i % page.width, i / page.width);
            prop_assert!(p == 255 || used[y / 16 * columns + x / 8]);
        }
    }
}
