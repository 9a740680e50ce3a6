//! Stop strings: found across token borders, never printed.

/// Watches the text stream and withholds what could be the beginning of a stop string.
#[derive(Debug, Clone, Default)]
pub struct StopMatcher {
    stops: Vec<String>,
    held: String,
    shown: usize,
}

impl StopMatcher {
    /// A matcher for `stops` (empty strings are ignored).
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|s| !s.is_empty()).cloned().collect();
        Self {
            stops,
            held: String::new(),
            shown: 0,
        }
    }

    /// Takes new text; gives the text that may now be shown, and whether a stop string has ended it.
    ///
    /// The earliest match in the text wins. After a match the rest of the text is gone and the matcher starts afresh.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        let found = self.stops.iter().filter_map(|s| self.held.find(s.as_str())).min();
        if let Some(at) = found {
            let out = self.held[..at].get(self.shown..).unwrap_or_default().to_owned();
            self.held.clear();
            self.shown = 0;
            return (out, true);
        }
        let keep = self.stops.iter().map(|s| overlap(&self.held, s)).max().unwrap_or(0);
        let release = self.held.len() - keep;
        let out = self.held[..release].get(self.shown..).unwrap_or_default().to_owned();
        self.held.drain(..release);
        self.shown = self.shown.saturating_sub(release);
        (out, false)
    }

    /// The withheld text, to be shown because the text ends here. It stays remembered as already shown, so that a
    /// continued text still finds a stop string that began before the cut.
    pub fn show_held(&mut self) -> String {
        let out = self.held[self.shown..].to_owned();
        self.shown = self.held.len();
        out
    }

    /// Marks the withheld text as already shown (restoring a session whose text had been cut).
    pub fn mark_shown(&mut self) {
        self.shown = self.held.len();
    }

    /// Whether withheld text waits to be shown.
    pub fn all_shown(&self) -> bool {
        self.shown == self.held.len()
    }
}

/// Length of the longest end of `text` that is a proper beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let most = text.len().min(stop.len() - 1);
    (1..=most)
        .rev()
        .find(|&n| stop.is_char_boundary(n) && text.ends_with(&stop[..n]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|s| (*s).to_owned()).collect();
        let mut matcher = StopMatcher::new(&stops);
        let mut out = String::new();
        for piece in pieces {
            let (text, stopped) = matcher.push(piece);
            out += &text;
            if stopped {
                return (out, true);
            }
        }
        (out + &matcher.show_held(), false)
    }

    #[test]
    fn finds_across_borders() {
        assert_eq!(run(&["END"], &["a E", "N", "D b"]), ("a ".into(), true));
        assert_eq!(run(&["END"], &["a E", "N", "d b"]), ("a ENd b".into(), false));
        assert_eq!(run(&["aab"], &["aa", "ab"]), ("a".into(), true));
        assert_eq!(run(&["é"], &["caf", "é!"]), ("caf".into(), true));
        assert_eq!(run(&[], &["x"]), ("x".into(), false));
    }

    #[test]
    fn the_earliest_match_wins() {
        assert_eq!(run(&["cd", "bc"], &["abcd"]), ("a".into(), true));
    }

    #[test]
    fn a_cut_and_continued_text_still_stops_and_shows_nothing_twice() {
        let mut m = StopMatcher::new(&["STOP".into()]);
        assert_eq!(m.push("xST"), ("x".into(), false));
        assert_eq!(m.show_held(), "ST");
        assert_eq!(m.show_held(), "");
        let mut other = m.clone();
        assert_eq!(m.push("OP"), (String::new(), true));
        assert_eq!(other.push("AR"), ("AR".into(), false));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[ab]{0,30}", stop in "[ab]{1,4}", cuts in prop::collection::vec(0usize..30, 0..5)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            let expected = text.find(&stop).map_or((text.clone(), false), |at| (text[..at].to_owned(), true));
            prop_assert_eq!(run(&[&stop], &pieces), expected);
        }
    }
}
