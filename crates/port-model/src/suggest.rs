//! "Did you mean": the nearest known word, when it is near enough to be a slip of the finger.

/// ` (did you mean `x`?)`, or nothing.
pub fn did_you_mean<S: AsRef<str>>(found: &str, known: &[S]) -> String {
    nearest(found, known).map(|word| format!(" (did you mean `{word}`?)")).unwrap_or_default()
}

/// The known word nearest to `found`, within a third of its length in edits.
pub fn nearest<'a, S: AsRef<str>>(found: &str, known: &'a [S]) -> Option<&'a str> {
    // Words are short; a long text is no slip, and the distance is quadratic.
    if found.len() > 64 {
        return None;
    }
    let limit = (found.chars().count() / 3).max(1);
    known
        .iter()
        .map(|word| (distance(found, word.as_ref()), word.as_ref()))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Edit distance with transpositions counted as one (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let substitution = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitution.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["reference", "variants", "distribution"];
        assert_eq!(nearest("refrence", &known), Some("reference"));
        assert_eq!(nearest("vairants", &known), Some("variants"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest(&"x".repeat(100), &known), None);
    }
}
