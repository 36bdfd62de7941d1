//! Cargo's output about a mistake in the configuration, as one line
//!
//! A build script or the linker finds some mistakes, and Cargo surrounds their message with many
//! lines about how they were called. Errors of the compiler are left as they are, because all of
//! their lines are about the code.

/// The reason of a failure, if the compiler did not print it.
pub fn reason(said: &str) -> Option<String> {
    reported(said)
        .or_else(|| ended(said))
        .or_else(|| overflow(said))
        .or_else(|| refused(said))
}

/// `error: PACKAGE@VERSION: REASON`: a build script that reports.
fn reported(said: &str) -> Option<String> {
    let reasons = said.lines().filter_map(|line| {
        let (package, reason) = line.strip_prefix("error: ")?.split_once(": ")?;
        (package.contains('@') && !package.contains(' ')).then_some(reason)
    });
    joined(reasons, "; ")
}

/// A build script, or a program that Cargo runs, ended with an error: its standard error, without
/// places in its source.
fn ended(said: &str) -> Option<String> {
    let (_, inside) = said.split_once("  --- stderr\n")?;
    let lines = inside
        .lines()
        .map_while(|line| {
            if line.is_empty() {
                Some(line)
            } else {
                line.strip_prefix("  ")
            }
        })
        .take_while(|line| *line != "Stack backtrace:" && *line != "stack backtrace:")
        .map(str::trim)
        .filter(|line| !line.is_empty() && *line != "|")
        .filter(|line| {
            *line != "Caused by:" && !line.starts_with("note: run with `RUST_BACKTRACE")
        });
    let lines = lines.map(|line| {
        let line = line
            .strip_prefix("Error: ")
            .or_else(|| line.strip_prefix("error: "))
            .unwrap_or(line);
        // `thread 'main' panicked at src/main.rs:1:2:`, and causes with numbers.
        match line.split_once(": ") {
            Some((number, cause)) if number.bytes().all(|byte| byte.is_ascii_digit()) => cause,
            _ => line.trim_end_matches(':'),
        }
    });
    joined(lines, ": ")
}

/// The linker: a region is too small.
fn overflow(said: &str) -> Option<String> {
    let parts = said.lines().filter_map(|line| {
        let (_, rest) = line.split_once("will not fit in region '")?;
        let (region, bytes) = rest.split_once("': overflowed by ")?;
        let bytes: u32 = bytes.split(' ').next()?.parse().ok()?;
        Some((region.to_lowercase(), bytes))
    });
    let (region, bytes) = parts.max_by_key(|part| part.1)?;
    Some(format!(
        "{region} is too small by {bytes} bytes or more; give it more in `requires`"
    ))
}

/// Cargo itself: its arguments or a manifest are wrong.
fn refused(said: &str) -> Option<String> {
    // The compiler's errors have a place.
    if said.contains("\n  --> ") || said.contains("could not compile") {
        return None;
    }
    let mut reason = String::new();
    let mut is_cause = false;
    for line in said.lines() {
        let message = line
            .strip_prefix("error: ")
            .or_else(|| line.strip_prefix("help: "));
        let (between, text) = match (message, line.strip_prefix("  ")) {
            (Some(message), _) => ("; ", message),
            // Of a file, Cargo shows the line and a mark below it.
            (None, Some(cause)) if is_cause && !cause.contains('|') => (": ", cause.trim()),
            _ => {
                is_cause |= line == "Caused by:";
                continue;
            }
        };
        if !reason.is_empty() {
            reason += between;
        }
        reason += text;
    }
    (!reason.is_empty()).then_some(reason)
}

fn joined<'a>(parts: impl Iterator<Item = &'a str>, between: &str) -> Option<String> {
    let parts: Vec<&str> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(between))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_script_that_reports() {
        let said = "error: task-jefe@0.1.0: app.toml: tasks.jefe.config.crash.recorder = \"x\": no such task\n\
            error: build script logged errors\n";
        assert_eq!(
            reason(said).as_deref(),
            Some("app.toml: tasks.jefe.config.crash.recorder = \"x\": no such task")
        );
    }

    #[test]
    fn a_build_script_that_fails() {
        let said = "error: failed to run custom build command for `task-crashlog v0.1.0 (/here)`\n\n\
            Caused by:\n  process didn't exit successfully: `/there/build` (exit status: 1)\n  --- stdout\n  \
            cargo::rerun-if-env-changed=HUBRIS_TASKS\n\n  --- stderr\n  Error: in the configuration\n\n  \
            Caused by:\n      0: quota: too big\n      1: it is 99\n\n  Stack backtrace:\n     0: main\n";
        assert_eq!(
            reason(said).as_deref(),
            Some("in the configuration: quota: too big: it is 99")
        );
    }

    #[test]
    fn a_build_script_that_panics() {
        let said = "error: failed to run custom build command for `a v0.1.0 (/here)`\n\nCaused by:\n  process\n  \
            --- stderr\n  thread 'main' (12) panicked at build.rs:3:5:\n  no such operation\n  note: run with \
            `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        assert_eq!(
            reason(said).as_deref(),
            Some("thread 'main' (12) panicked at build.rs:3:5: no such operation")
        );
    }

    #[test]
    fn a_linker_without_room() {
        let said = "error: linking with `rust-lld` failed: exit status: 1\n  = note: rust-lld: error: section '.text' \
            will not fit in region 'FLASH': overflowed by 30000 bytes\n          rust-lld: error: section '.rodata' will \
            not fit in region 'FLASH': overflowed by 36552 bytes\n\nerror: could not compile `kernel` (bin \"kernel\") due \
            to 1 previous error\n";
        assert_eq!(
            reason(said).as_deref(),
            Some("flash is too small by 36552 bytes or more; give it more in `requires`")
        );
    }

    #[test]
    fn an_argument_that_cargo_refuses() {
        let said = "error: the package 'ast2600-kernel' does not contain this feature: dmp\nhelp: there is a similarly \
            named feature: dump\n";
        assert_eq!(
            reason(said).as_deref(),
            Some(
                "the package 'ast2600-kernel' does not contain this feature: dmp; there is a similarly named feature: dump"
            )
        );
    }

    /// Of a member of the workspace, say, that is a crate of upstream's.
    #[test]
    fn a_manifest_that_cargo_cannot_load() {
        let said = "error: failed to load manifest for workspace member `/w/a`\nreferenced by workspace at \
            `/w/Cargo.toml`\n\nCaused by:\n  failed to parse manifest at `/w/a/Cargo.toml`\n\nCaused by:\n  error \
            inheriting `foo` from workspace root manifest's `workspace.dependencies.foo`\n\nCaused by:\n  \
            `workspace.dependencies` was not defined\n";
        assert_eq!(
            reason(said).as_deref(),
            Some(
                "failed to load manifest for workspace member `/w/a`: failed to parse manifest at `/w/a/Cargo.toml`: \
                 error inheriting `foo` from workspace root manifest's `workspace.dependencies.foo`: \
                 `workspace.dependencies` was not defined"
            )
        );
    }

    #[test]
    fn errors_of_the_compiler_are_shown_whole() {
        let said = "error[E0425]: cannot find value `x` in this scope\n  --> task/a/src/main.rs:38:5\n   |\n\nerror: \
            could not compile `a` (bin \"a\") due to 1 previous error\n";
        assert_eq!(reason(said), None);
    }
}
