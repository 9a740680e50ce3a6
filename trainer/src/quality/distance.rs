//! How far one text is from another.

/// Edit distance (Levenshtein): characters to put in, take out or change to make `a` of `b`.
pub fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// ROUGE-L: F1 of the longest common subsequence of words, in lower case without punctuation at their ends, 0 to 1 (Lin 2004).
pub fn rouge_l(written: &str, reference: &str) -> f64 {
    let (written, reference) = (words(written), words(reference));
    if written.is_empty() || reference.is_empty() {
        return 0.0;
    }
    let mut row = vec![0usize; reference.len() + 1];
    for word in &written {
        let mut diagonal = 0;
        for (j, other) in reference.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if word == other { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    let common = row[reference.len()] as f64;
    if common == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (common / written.len() as f64, common / reference.len() as f64);
    2.0 * precision * recall / (precision + recall)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase())
        .filter(|word| !word.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_by_hand() {
        for (a, b, n) in [
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("abc", "", 3),
            ("same", "same", 0),
            ("é", "e", 1),
        ] {
            assert_eq!((edit_distance(a, b), edit_distance(b, a)), (n, n), "{a} {b}");
        }
    }

    #[test]
    fn rouge_by_hand() {
        // Lin's example: police killed the gunman / police kill the gunman: 3 of 4 words in order.
        assert_eq!(rouge_l("police kill the gunman", "Police killed the gunman."), 0.75);
        assert_eq!(rouge_l("the gunman kill police", "police killed the gunman"), 0.5);
        assert!((rouge_l("a b", "a b c d") - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(rouge_l("", "a"), 0.0);
        assert_eq!(rouge_l("x", "a"), 0.0);
    }
}
