//! Calls functions of an image as Humility does: through the HIF executor, by writing its memory
//! with a debugger.

use crate::build::Image;
use crate::gdb::Debugger;
use crate::machine::Machine;
use anyhow::{Context, Result, bail};
use hif::FunctionResult;
use object::{Object, ObjectSymbol};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};
use zip::ZipArchive;

/// Real time for a program.
const LIMIT: Duration = Duration::from_secs(30);

/// Numbers of the executor's functions. This one sleeps.
pub const SLEEP: u8 = 0;
/// Sends a message.
pub const SEND: u8 = 1;
/// The same, with a lease that the server may read.
pub const SEND_LEASE_READ: u8 = 2;
/// The same, with a lease to read and one to write.
pub const SEND_LEASE_READ_WRITE: u8 = 3;
/// The same, with a lease that the server may write.
pub const SEND_LEASE_WRITE: u8 = 4;

/// What a function returned: bytes, or the code of an error.
pub type Returned = Result<Vec<u8>, u32>;

/// The program text of one call of a sending function, as Humility writes it: push the arguments,
/// call, drop them.
pub fn send(function: u8, task: u8, operation: u8, message: &[u8], sizes: &[u8]) -> Vec<u8> {
    let length = message.len() as u8;
    let numbers = [task, operation].into_iter().chain(message.iter().copied());
    let numbers = numbers.chain([length]).chain(sizes.iter().copied());
    let mut text: Vec<u8> = numbers.flat_map(|number| [4, number]).collect();
    let depth = text.len() as u8 / 2;
    text.extend([1, function, 3, depth]);
    text
}

/// The executor of a machine: where its variables are.
pub struct Executor<'a> {
    machine: &'a Machine,
    variables: BTreeMap<String, u32>,
}

impl<'a> Executor<'a> {
    /// The executor of an image, which the machine runs. The machine must offer a debugger.
    pub fn new(machine: &'a Machine, image: &Image) -> Result<Self> {
        Ok(Self {
            machine,
            variables: variables(image)?,
        })
    }

    /// Clears the executor's ready flag. RAM keeps its content over a reset, so after one the flag
    /// may still be set from the boot before; the executor sets it each time it goes to sleep.
    pub fn clear_ready(&self) -> Result<()> {
        let mut debugger = self.connect()?;
        debugger.set_word(self.address("HIFFY_READY")?, 0)?;
        debugger.detach()
    }

    /// Runs a program, to which the instruction that ends it is appended; returns what its
    /// functions returned.
    ///
    /// # Errors
    /// If the executor refuses the program, is not ready in time, or was restarted meanwhile.
    pub fn call(&self, program: &[u8], data: &[u8]) -> Result<Vec<Returned>> {
        let deadline = Instant::now() + LIMIT;
        // The machine is stopped while a debugger is connected.
        let before = loop {
            let mut debugger = self.connect()?;
            if self.read(&mut debugger, "HIFFY_READY")? == 1 {
                let counts = [
                    self.read(&mut debugger, "HIFFY_REQUESTS")?,
                    self.read(&mut debugger, "HIFFY_ERRORS")?,
                ];
                let text = [program, &[20]].concat();
                debugger.set_memory(self.address("HIFFY_TEXT")?, &text)?;
                if !data.is_empty() {
                    debugger.set_memory(self.address("HIFFY_DATA")?, data)?;
                }
                debugger.set_word(self.address("HIFFY_KICK")?, 1)?;
                debugger.detach()?;
                break counts;
            }
            debugger.detach()?;
            pause(deadline, "the executor is not ready")?;
        };
        loop {
            pause(deadline, "the executor does not end")
                .with_context(|| format!("{program:?}, {before:?}"))?;
            let mut debugger = self.connect()?;
            let requests = self.read(&mut debugger, "HIFFY_REQUESTS")?;
            let errors = self.read(&mut debugger, "HIFFY_ERRORS")?;
            let rstack = debugger.memory(self.address("HIFFY_RSTACK")?, 1024)?;
            debugger.detach()?;
            if errors == before[1] + 1 {
                bail!("the executor refused the program");
            }
            if requests < before[0] || errors < before[1] {
                bail!("the executor was restarted: it was faulted for what it sent");
            }
            if requests == before[0] + 1 {
                return returned(&rstack);
            }
        }
    }

    /// Stops the machine, with a debugger that uses physical addresses.
    pub fn connect(&self) -> Result<Debugger> {
        let mut debugger = Debugger::connect(&self.machine.debugger_socket())?;
        debugger.use_physical_addresses()?;
        Ok(debugger)
    }

    fn address(&self, name: &str) -> Result<u32> {
        self.variables
            .get(name)
            .copied()
            .with_context(|| format!("the task hiffy has no variable {name}"))
    }

    fn read(&self, debugger: &mut Debugger, name: &str) -> Result<u32> {
        debugger.word(self.address(name)?)
    }
}

/// Waits a little; after the deadline it fails with `what`.
pub fn pause(deadline: Instant, what: &str) -> Result<()> {
    if Instant::now() > deadline {
        bail!("{what}");
    }
    std::thread::sleep(Duration::from_millis(20));
    Ok(())
}

/// Decodes the executor's return stack.
fn returned(rstack: &[u8]) -> Result<Vec<Returned>> {
    let mut results = Vec::new();
    let mut rest = rstack;
    loop {
        let (result, length) =
            FunctionResult::decode(rest).context("the return stack does not decode")?;
        rest = &rest[length..];
        results.push(match result {
            FunctionResult::Success(bytes) => Ok(bytes.to_vec()),
            FunctionResult::Failure(code) => Err(code),
            FunctionResult::Done => return Ok(results),
        });
    }
}

/// Names and addresses of the executor's variables.
pub fn variables(image: &Image) -> Result<BTreeMap<String, u32>> {
    let file = File::open(&image.archive)
        .with_context(|| format!("cannot open {}", image.archive.display()))?;
    let mut zip = ZipArchive::new(file).context("the archive is no zip file")?;
    let mut member = zip
        .by_name("elf/task/hiffy")
        .context("the image has no task hiffy")?;
    let mut bytes = Vec::new();
    member
        .read_to_end(&mut bytes)
        .context("the archive is damaged")?;
    let elf = object::File::parse(&*bytes).context("elf/task/hiffy is no ELF file")?;
    Ok(elf
        .symbols()
        .filter_map(|symbol| Some((symbol.name().ok()?.to_owned(), symbol.address() as u32)))
        .filter(|(name, _)| name.starts_with("HIFFY_"))
        .collect())
}
