//! Ids of requirements in any text

use super::RULE;
use crate::Finding;
use crate::comments::comment;

/// Whether a word has the shape of an id: the letter of a section and a number.
pub fn is_id(word: &str) -> bool {
    let Some((letter, number)) = word.split_at_checked(1) else {
        return false;
    };
    "CPMKDX".contains(letter)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !number.starts_with('0')
}

/// The ids in a file that are none of `known`: in the comments of a Rust source and all of a
/// document, and elsewhere in brackets or parentheses that hold nothing but ids.
pub fn check(path: &str, text: &str, known: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let prose = if path.ends_with(".md") {
            Some(line)
        } else {
            comment(line)
        };
        let ids = prose.map_or_else(|| in_brackets(line), in_prose);
        for id in ids.into_iter().filter(|id| !known.contains(id)) {
            let what = format!(
                "{id} is no requirement of {}; write the id of one, or none",
                super::PATH
            );
            findings.push(Finding::new(path, number, RULE, what));
        }
    }
    findings
}

/// The words of a sentence that are ids. A part of a word, as in Cortex-M4 or in a path, is none.
fn in_prose(line: &str) -> Vec<&str> {
    let in_word = |c: char| c.is_alphanumeric() || ['-', '_', '/'].contains(&c);
    let words = line.split(|c| !in_word(c));
    words.filter(|word| is_id(word)).collect()
}

/// The ids in brackets or parentheses that hold nothing but ids.
fn in_brackets(line: &str) -> Vec<&str> {
    let mut ids = Vec::new();
    for (at, open) in line.match_indices(['[', '(']) {
        let inside = &line[at + 1..];
        let close = if open == "[" { ']' } else { ')' };
        let Some(end) = inside.find(close) else {
            continue;
        };
        let words: Vec<_> = inside[..end].split(',').map(str::trim).collect();
        if words.iter().all(|word| is_id(word)) {
            ids.extend(words);
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_other_words() {
        for id in ["C1", "P12", "X18"] {
            assert!(is_id(id), "{id}");
        }
        for word in ["", "C", "A1", "C0", "C123", "Cx", "CMD", "m8", "ü1"] {
            assert!(!is_id(word), "{word}");
        }
    }

    #[test]
    fn an_unknown_id_is_found() {
        let known = ["M8", "P11"];
        for line in [
            "// so [M8]",
            "(P11, M8)",
            "array[M1x]",
            "f(M9 + 1)",
            "[",
            "let m = M9;",
            "// Cortex-M4, VFPv3-D16, a_M9",
        ] {
            assert_eq!(check("a.rs", line, &known), [], "{line}");
        }
        let unknown = format!("M{}", 99);
        for (path, line) in [
            ("a.rs", format!("[{unknown}]")),
            ("a.rs", format!("(M8, {unknown})")),
            ("a.rs", format!("/// Why ({unknown}).")),
            ("a.rs", format!("/// REQ: M8, {unknown}")),
            ("a.md", format!("M8 and {unknown}: both")),
            ("a.toml", format!("# [{unknown}]")),
        ] {
            let findings = check(path, &format!("\n{line}"), &known);
            assert_eq!(findings.len(), 1, "{line}");
            let said = findings[0].to_string();
            let wanted = format!("{path}:2: requirement: {unknown} is no requirement of doc/");
            assert!(said.starts_with(&wanted), "{said}");
        }
    }
}
