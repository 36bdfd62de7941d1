//! The size of the emergency path for `doc/numbers.md`, as `./x check-emergency` prints it.

use crate::build;
use crate::crash_cost::grouped;
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;

/// The size of one variant of the path.
#[derive(Debug, PartialEq, Eq)]
pub struct PathSize {
    /// The variant.
    name: String,
    /// Bytes of code of all reachable functions.
    code: u64,
    /// Bytes of stack of the deepest chain of calls.
    stack: u64,
}

/// Runs the check on the demo's recorder.
pub fn measure() -> Result<Vec<PathSize>> {
    let output = build::cargo()
        .args(["xtask", "check-emergency"])
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "`./x check-emergency` failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// Reads the output: each variant begins with its name, the lines about it are indented.
fn parse(text: &str) -> Result<Vec<PathSize>> {
    let mut paths: Vec<PathSize> = Vec::new();
    for line in text.lines() {
        if !line.starts_with(' ') {
            paths.push(PathSize {
                name: line.trim().to_owned(),
                code: 0,
                stack: 0,
            });
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(path), Some(what), Some(number)) = (paths.last_mut(), words.next(), words.next())
        else {
            continue;
        };
        let place = match what {
            "code" => &mut path.code,
            "stack" => &mut path.stack,
            _ => continue,
        };
        *place = number
            .parse()
            .with_context(|| format!("`{line}` of `./x check-emergency` has no number"))?;
    }
    ensure!(
        !paths.is_empty() && paths.iter().all(|path| path.code > 0 && path.stack > 0),
        "`./x check-emergency` did not say how large the path is:\n{text}"
    );
    Ok(paths)
}

/// The table of the sizes.
pub fn section(paths: &[PathSize]) -> String {
    let mut text = String::from(
        "\n## Size of the emergency path\n\n\
         From the binary, as `./x check-emergency` prints it: the code of every function that can be reached, and the\n\
         stack of the deepest chain of calls. The budget of the stack is 1 536 bytes, for a system that was ready.\n\n\
         | what | code, bytes | stack, bytes |\n|---|---:|---:|\n",
    );
    for PathSize { name, code, stack } in paths {
        let _ = writeln!(
            text,
            "| {name} | {} | {} |",
            grouped(*code),
            grouped(*stack)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_the_check_is_read() {
        let text = "emergency path of task `crashlog`\n  functions     82\n  code          25156 bytes\n  stack         2072 \
                    bytes; budget 1536\n    main (272)\nthe same with the search\n  code 39742 bytes\n  stack 6900 bytes\n";
        let path = |name: &str, code, stack| PathSize {
            name: name.to_owned(),
            code,
            stack,
        };
        assert_eq!(
            parse(text).expect("sizes"),
            [
                path("emergency path of task `crashlog`", 25_156, 2_072),
                path("the same with the search", 39_742, 6_900)
            ]
        );
    }

    #[test]
    fn an_output_without_sizes_is_refused() {
        for text in ["", "path\n", "path\n  code 5 bytes\n", "path\n  code x\n"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
