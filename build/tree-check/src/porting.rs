//! The table of folders in doc/porting.md

use crate::Finding;
use build_parts::Member;
use std::collections::BTreeSet;

/// The document.
pub const PATH: &str = "doc/porting.md";
/// Its section that begins with the table.
const SECTION: &str = "## The recorder in your Hubris tree";
const RULE: &str = "porting-table";

/// Where the table's first column differs from what the manifests say of the product.
pub fn check(members: &[Member], text: &str) -> Vec<Finding> {
    let wanted = build_parts::product(members);
    let Some((start, listed)) = listed(text) else {
        let what = format!("has no table of folders after {SECTION:?}; write one");
        return vec![Finding::new(PATH, None, RULE, what)];
    };
    let mut findings = Vec::new();
    for path in wanted.iter().filter(|path| !listed.contains(*path)) {
        let what = format!("the table does not name `{path}`, which is the product's; add it");
        findings.push(Finding::new(PATH, start, RULE, what));
    }
    for path in listed.iter().filter(|path| !wanted.contains(*path)) {
        let what = format!(
            "the table names `{path}`, which no manifest says is the product's; remove it there, or write \
             [package.metadata.crashlog] into its manifest"
        );
        findings.push(Finding::new(PATH, start, RULE, what));
    }
    findings
}

/// The line at which the table begins, and what is between backticks in its first column.
fn listed(text: &str) -> Option<(usize, BTreeSet<String>)> {
    let mut lines = (1..)
        .zip(text.lines())
        .skip_while(|(_, line)| *line != SECTION)
        .skip_while(|(_, line)| !line.starts_with('|'))
        .take_while(|(_, line)| line.starts_with('|'));
    let (start, _) = lines.next()?;
    let cells = lines.filter_map(|(_, line)| line.split('|').nth(1));
    let paths = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    Some((start, paths.map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn this_tree() -> (Vec<Member>, String) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let members = build_parts::read(&root).expect("the workspace");
        let text = std::fs::read_to_string(root.join(PATH)).expect(PATH);
        (members, text)
    }

    #[test]
    fn the_document_names_exactly_the_folders_of_the_product() {
        let (members, text) = this_tree();
        assert_eq!(check(&members, &text), []);
    }

    #[test]
    fn a_folder_too_few_or_too_many_is_found() {
        let (members, text) = this_tree();
        assert!(text.contains("`drv/mmc`"));
        let findings = check(&members, &text.replacen("`drv/mmc`", "`drv/nand`", 1));
        let said: Vec<_> = findings.iter().map(Finding::to_string).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("porting-table: the table does not name `drv/mmc`"));
        assert!(said[1].contains("porting-table: the table names `drv/nand`"));
        let findings = check(&members, "# Porting");
        assert!(findings[0].what.contains("no table"));
    }
}
