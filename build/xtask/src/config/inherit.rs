//! Reads a TOML file and the files that it inherits from
//!
//! `inherit = "base.toml"`, or a list of such paths, names files relative to this one. They are
//! read first, in order, each once. Then this file is merged into the result: tables are merged,
//! lists are appended, other values are replaced.

use super::error::{Problem, Sources};
use anyhow::{Context, Result, anyhow};
use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// The merged table, without `inherit`, and the files it came from.
pub fn load(path: &Path) -> Result<(Table, Sources)> {
    let mut sources = Sources::default();
    let table = load_once(path, &mut sources)?;
    Ok((table, sources))
}

/// Reads one file and those that it inherits from, unless they are in `sources` already.
fn load_once(path: &Path, sources: &mut Sources) -> Result<Table> {
    if sources.contains(path) {
        return Ok(Table::new());
    }
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut own = parse(path, &text)?;
    sources.push(path, text);

    let mut merged = Table::new();
    for base in bases(own.remove("inherit")).map_err(|problem| sources.locate(&problem))? {
        let base = path.parent().unwrap_or(Path::new("")).join(base);
        let inherited = load_once(&base, sources)?;
        overlay(&mut merged, inherited).map_err(|problem| sources.locate(&problem))?;
    }
    overlay(&mut merged, own).map_err(|problem| sources.locate(&problem))?;
    Ok(merged)
}

/// Parses one file; the error is one line that names file and line.
pub fn parse(path: &Path, text: &str) -> Result<Table> {
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(0, |span| {
            text[..span.start.min(text.len())].matches('\n').count()
        });
        anyhow!(
            "{}:{}: `{}`: {}",
            path.display(),
            line + 1,
            text.lines().nth(line).unwrap_or_default().trim(),
            error.message().replace('\n', ", ")
        )
    })
}

/// The files that `inherit` names.
fn bases(inherit: Option<Value>) -> Result<Vec<String>, Problem> {
    match inherit {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one]),
        Some(list) => build_util::from_value(list).map_err(|_| {
            Problem::at(
                &["inherit"],
                "must be the path of a file, or a list of paths",
            )
        }),
    }
}

/// Merges `upper` into `lower`.
fn overlay(lower: &mut Table, upper: Table) -> Result<(), Problem> {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => {
                overlay(below, above)
                    .map_err(|problem| problem.under(super::error::Step::Key(key)))?;
            }
            (Some(Value::Array(below)), Value::Array(above)) => below.extend(above),
            (Some(below), value) => {
                if below.type_str() != value.type_str() {
                    let message = format!(
                        "is {}, but {} in what this file inherits from",
                        value.type_str(),
                        below.type_str()
                    );
                    return Err(Problem::at(&[&key], message));
                }
                *below = value;
            }
            (None, value) => {
                lower.insert(key, value);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("directory");
        for (name, text) in files {
            fs::write(dir.path().join(name), text).expect("file");
        }
        dir
    }

    #[test]
    fn merges_tables_appends_lists_replaces_scalars() {
        let dir = files(&[
            (
                "base.toml",
                "name = 'base'\n[kernel]\nfeatures = ['a']\nstacksize = 1\n",
            ),
            (
                "app.toml",
                "inherit = 'base.toml'\nname = 'app'\n[kernel]\nfeatures = ['b']\n",
            ),
        ]);
        let (table, sources) = load(&dir.path().join("app.toml")).expect("loads");
        let expected = "name = 'app'\n[kernel]\nfeatures = ['a', 'b']\nstacksize = 1\n";
        assert_eq!(table, expected.parse::<Table>().expect("TOML"));
        assert!(sources.contains(&dir.path().join("base.toml")));
    }

    #[test]
    fn a_circle_ends() {
        let dir = files(&[("a.toml", "inherit = ['a.toml']\nname = 'a'\n")]);
        let (table, _) = load(&dir.path().join("a.toml")).expect("loads");
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn refuses_a_change_of_type() {
        let dir = files(&[
            ("base.toml", "[kernel]\nname = 'k'\n"),
            ("app.toml", "inherit = 'base.toml'\nkernel = 3\n"),
        ]);
        let error = load(&dir.path().join("app.toml"))
            .expect_err("refused")
            .to_string();
        assert!(
            error.ends_with(
                "app.toml:2: kernel: is integer, but table in what this file inherits from"
            ),
            "{error}"
        );
    }

    #[test]
    fn a_syntax_error_is_one_line() {
        let dir = files(&[("app.toml", "name = 'a'\nboard = = 'b'\n")]);
        let error = load(&dir.path().join("app.toml"))
            .expect_err("refused")
            .to_string();
        assert!(error.contains("app.toml:2: "), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}
