//! A verb whose output nobody reads to its end, as in `./x sizes | head -n 1`, ends quietly.

use std::io;
use std::path::Path;
use std::process::Command;

#[test]
fn a_verb_ends_quietly_when_its_output_is_closed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for arguments in [
        &["graph"][..],
        &["build", "--list"],
        &["print", "archive"],
        &["print", "expanded-config"],
    ] {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(arguments)
            .current_dir(&root)
            .stdout(writer)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.is_empty(), "{arguments:?}: {said}");
        assert!(output.status.success(), "{arguments:?}: {}", output.status);
    }
}
