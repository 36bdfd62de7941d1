//! The width of comments
//!
//! rustfmt keeps code within 100 columns (rustfmt.toml) and leaves comments alone.

use crate::Finding;

/// In columns, of which a character takes one.
const WIDEST: usize = 100;

/// The comment lines of a Rust source that are too wide. A line that cannot be broken may be wider:
/// one with a URL, a row of a table, a line of a code block, a single word.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        let Some(comment) = comment(line) else {
            in_code = false;
            continue;
        };
        let fence = comment.trim_start().starts_with("```");
        if fence {
            in_code = !in_code;
        }
        let width = line.chars().count();
        if width > WIDEST && !fence && !in_code && is_breakable(comment) {
            findings.push(Finding::new(
                path,
                number,
                "comment-width",
                format!("{width} columns, of at most {WIDEST}; wrap it"),
            ));
        }
    }
    findings
}

/// What follows the marker of a line that is nothing but a comment.
pub fn comment(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("//")?;
    let doc = rest.strip_prefix('/').or_else(|| rest.strip_prefix('!'));
    Some(doc.unwrap_or(rest))
}

fn is_breakable(comment: &str) -> bool {
    let is_indented_code = comment.starts_with("     ");
    let text = comment.trim();
    let in_list = text.strip_prefix("* ").or_else(|| text.strip_prefix("- "));
    let has_break = in_list.unwrap_or(text).contains(' ');
    has_break && !is_indented_code && !text.starts_with('|') && !text.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `marker` and words behind it, `width` columns in all.
    fn line(marker: &str, width: usize) -> String {
        let mut line = format!("{marker} ");
        while line.len() < width {
            line.push_str("word ");
        }
        line.truncate(width - 1);
        line + "."
    }

    #[test]
    fn a_wide_comment_is_refused() {
        for marker in ["//", "///", "//!", "    ///", "/// *"] {
            assert_eq!(check("a.rs", &line(marker, 100)), []);
            let findings = check("a.rs", &format!("fn a() {{}}\n{}", line(marker, 101)));
            assert_eq!(findings.len(), 1, "{marker}");
            let said = findings[0].to_string();
            assert_eq!(
                said,
                "a.rs:2: comment-width: 101 columns, of at most 100; wrap it"
            );
        }
    }

    #[test]
    fn columns_are_characters() {
        assert_eq!(check("a.rs", &line("//", 100).replace("word", "würd")), []);
    }

    #[test]
    fn what_cannot_be_broken_may_be_wide() {
        let wide = line("///", 120);
        let one_word = "x".repeat(120);
        for text in [
            format!("/// ```\n{wide}\n/// ```"),
            wide.replace("/// ", "/// | "),
            wide.replace("/// ", "///     "),
            wide.replace("/// ", "/// https://example.com/ "),
            format!("/// {one_word}"),
            format!("/// * {one_word}"),
            format!("let a = 1; {}", line("//", 120)),
        ] {
            assert_eq!(check("a.rs", &text), [], "{text}");
        }
    }

    #[test]
    fn a_code_block_ends_with_its_fence_or_its_comment() {
        let wide = line("///", 120);
        let findings = check("a.rs", &format!("/// ```\n/// x\n/// ```\n{wide}"));
        assert_eq!(findings.len(), 1);
        let findings = check("a.rs", &format!("/// ```\n/// x\nfn a() {{}}\n{wide}"));
        assert_eq!(findings.len(), 1);
    }
}
