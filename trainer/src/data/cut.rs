//! Cutting long text without tearing words, so that pieces tokenise as the whole does.

/// Length of the first piece of `text`: at most about `target` bytes where the text allows.
///
/// A cut is made before a single space between two words: byte-level BPE pre-tokenisers cut there too, so encoding
/// the pieces gives the ids of the whole. Text without such a place is not cut within `4 × target` bytes.
pub(crate) fn piece(text: &str, target: usize) -> usize {
    let bytes = text.as_bytes();
    let good = |&i: &usize| {
        bytes[i] == b' '
            && bytes[i - 1].is_ascii_alphanumeric()
            && bytes.get(i + 1).is_some_and(u8::is_ascii_alphanumeric)
    };
    if text.len() <= target {
        return text.len();
    }
    (target / 2..target)
        .rev()
        .filter(|&i| i > 0)
        .find(good)
        .or_else(|| (target.max(1)..text.len().min(4 * target)).find(good))
        .or_else(|| (text.len() > 4 * target).then(|| (1..=4 * target).rev().find(|&i| text.is_char_boundary(i)))?)
        .unwrap_or(text.len())
}

/// `text` in pieces of about `target` bytes.
pub(crate) fn pieces(text: &str, target: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (head, after) = rest.split_at(piece(rest, target));
        rest = after;
        (!head.is_empty()).then_some(head)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_words_and_make_up_the_text() {
        let text = "one two,  three\n\nfour five six seven eight nine ten ".repeat(50);
        let cut: Vec<_> = pieces(&text, 64).collect();
        assert_eq!(cut.concat(), text);
        assert!(cut.len() > 30 && cut.iter().all(|p| p.len() <= 80));
        assert!(
            cut[1..]
                .iter()
                .all(|p| p.starts_with(' ') && p.as_bytes()[1].is_ascii_alphabetic())
        );
        assert_eq!(pieces("", 64).count(), 0);
    }

    #[test]
    fn text_without_spaces_is_cut_at_characters() {
        let text = "\u{4f60}".repeat(1000);
        let cut: Vec<_> = pieces(&text, 64).collect();
        assert_eq!(cut.concat(), text);
        assert!(cut.iter().all(|p| p.len() <= 256));
    }
}
