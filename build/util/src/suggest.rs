//! "Did you mean …": the known name nearest to an unknown one

/// The candidate that `wrong` is most likely a misspelling of, if any is near enough.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let tolerance = wrong.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&normal(wrong), &normal(candidate)), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean `x`?`, or else the list of what is known.
pub fn hint<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(wrong, candidates.clone()) {
        return format!("; did you mean `{near}`?");
    }
    let known: Vec<&str> = candidates.into_iter().collect();
    if known.is_empty() {
        return "; there are none".into();
    }
    format!("; known are {}", known.join(", "))
}

/// A name without differences of case, dash and underscore.
fn normal(name: &str) -> Vec<char> {
    name.to_lowercase().replace('_', "-").chars().collect()
}

/// Edit distance: insertions, deletions, replacements, and swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_misspellings() {
        let known = ["priority", "stacksize", "task-slots", "uses"];
        assert_eq!(nearest("priorty", known), Some("priority"));
        assert_eq!(nearest("task_slots", known), Some("task-slots"));
        assert_eq!(nearest("sues", known), Some("uses"));
        assert_eq!(nearest("requires", known), None);
    }

    #[test]
    fn lists_what_there_is() {
        assert_eq!(hint("eth", ["uart1", "wdt"]), "; known are uart1, wdt");
        assert_eq!(hint("wtd", ["uart1", "wdt"]), "; did you mean `wdt`?");
        assert_eq!(hint("x", []), "; there are none");
    }
}
