//! The example application `app/example`, whose tasks are in another workspace.

use super::{Cases, Rig, Session};
use crate::machine::{Config, Machine};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// It is built from its own folder, boots, and its tasks call each other and the recorder.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    vec![session.trial("app::example", "app/example/app.toml", example)]
}

fn example(rig: &Rig) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    rig.tool.format(&card)?;
    let config = Config::new(&rig.image, Some(&card));
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    // The file that `bindeps` made is an ELF file, and is in the task.
    for line in [
        "greeter: hello",
        "greeter: helper begins with Some([45, 4c, 46])",
        "greeter: 1 and 1 are 2",
        "greeter: 2 and 2 are 4",
        "greeter: 4 and 4 are 8",
    ] {
        let said = machine.uart5.next_line(LIMIT);
        ensure!(
            said.as_deref() == Some(line),
            "the example printed {said:?} instead of `{line}`"
        );
    }
    machine.kill()?;

    // The file that `copy-to-archive` names is in the archive, under the task's name.
    let mut archive = zip::ZipArchive::new(File::open(&rig.image.archive)?)?;
    let file = archive.by_name("task/greeter/greetings.txt")?;
    ensure!(
        std::io::read_to_string(file)? == "hello\n",
        "the file in the archive has another content"
    );
    Ok(Cases::one())
}
