//! A small application in a temporary tree, for tests

use crate::config::Config;
use anyhow::Result;
use std::fs;
use tempfile::TempDir;

const APP: &str = r#"name = "demo"
target = "thumbv7em-none-eabihf"
board = "bench"
chip = "chip"
stacksize = 1024

[kernel]
name = "kern"
requires = { flash = 0x8000, ram = 0x2000 }

[tasks.jefe]
name = "task-jefe"
priority = 0
start = true
notifications = ["fault", "timer"]
extern-regions = ["crash"]

[tasks.net]
name = "task-net"
priority = 2
stacksize = 2048
uses = ["eth"]
interrupts = { "eth.irq" = "eth-irq" }
notifications = ["timer", "eth-irq"]
task-slots = ["jefe"]

[tasks.idle]
name = "task-idle"
priority = 5
stacksize = 256
start = true
"#;

const CHIP: &str = r#"[eth]
address = 0x4000_0000
size = 0x1000
interrupts = { irq = 61 }

[uart]
address = 0x4000_1000
size = 0x1000
interrupts = { irq = 62 }
"#;

const MEMORY: &str = r#"[[flash]]
name = "default"
address = 0x0800_0000
size = 0x10000
read = true
execute = true

[[ram]]
name = "default"
address = 0x2000_0000
size = 0x8000
read = true
write = true

[[crash]]
name = "default"
address = 0x2001_0000
size = 0x1000
read = true
write = true
dma = true
"#;

const BOARD: &str = r#"[substrate]
kernel-target = "thumbv7a-none-eabihf"
region-granule = 4096
"#;

/// The files of the application; tests change some of them.
pub struct Files {
    pub app: String,
    pub chip: String,
    pub memory: String,
    pub board: String,
}

impl Files {
    /// An application without mistakes.
    pub fn good() -> Self {
        Self {
            app: APP.into(),
            chip: CHIP.into(),
            memory: MEMORY.into(),
            board: BOARD.into(),
        }
    }

    /// Reads and checks it.
    pub fn load(&self) -> Result<Config> {
        let dir = self.write()?;
        Config::load(dir.path(), &dir.path().join("app.toml"))
    }

    /// The error of reading it, without the name of the temporary directory.
    pub fn error(&self) -> String {
        let dir = self.write().expect("temporary files");
        match Config::load(dir.path(), &dir.path().join("app.toml")) {
            Ok(_) => "no error".into(),
            Err(error) => format!("{error:#}").replace(&format!("{}/", dir.path().display()), ""),
        }
    }

    fn write(&self) -> Result<TempDir> {
        let dir = tempfile::tempdir()?;
        fs::create_dir(dir.path().join("chip"))?;
        fs::create_dir(dir.path().join("boards"))?;
        fs::write(dir.path().join("app.toml"), &self.app)?;
        fs::write(dir.path().join("chip/chip.toml"), &self.chip)?;
        fs::write(dir.path().join("chip/memory.toml"), &self.memory)?;
        fs::write(dir.path().join("boards/bench.toml"), &self.board)?;
        Ok(dir)
    }
}
