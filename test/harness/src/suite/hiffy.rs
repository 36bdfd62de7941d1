//! Calls interfaces as Humility does: through the HIF executor, by writing its memory with a debugger.

use super::{Bench, Cases, Rig};
use crate::build::DEMO;
use crate::gdb::Debugger;
use crate::machine::{Config, Machine};
use anyhow::{Context, Result, bail, ensure};
use hif::FunctionResult;
use hubpack::SerializedSize;
use libtest_mimic::Trial;
use object::{Object, ObjectSymbol};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};
use task_crashlog_api::{RecorderState, Status};
use zip::ZipArchive;

/// Real time for the machine to start, and for a program.
const LIMIT: Duration = Duration::from_secs(30);

/// Task indices and operations of the demo (app.toml, idl/).
const JEFE: u8 = 0;
const CRASHLOG: u8 = 1;
const GET_STATE: u8 = 1;
const APPEND: u8 = 1;
const FLUSH: u8 = 2;
const STATUS: u8 = 3;
const CRASH_INFO: u8 = 4;
const READ_PAGE: u8 = 7;

/// How many pages others may fill between a flush and the question which page is the newest.
const PAGES_BEHIND: u32 = 8;

/// Functions of the executor.
const SLEEP: u8 = 0;
pub(super) const SEND: u8 = 1;
const SEND_LEASE_READ: u8 = 2;
const SEND_LEASE_READ_WRITE: u8 = 3;
pub(super) const SEND_LEASE_WRITE: u8 = 4;

/// The server of `test/apps/hiffy/app.toml` and its operations (`test/lib/api`): each names a lease, an offset and a length.
const ASSIST: u8 = 1;
const BORROW_READ: u8 = 14;
const BORROW_WRITE: u8 = 15;
const BORROW_INFO: u8 = 16;

/// REQ: C6: an interface is called through the executor as Humility does it.
pub fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    vec![
        bench.trial("target::hiffy", DEMO, run),
        bench.trial("target::hiffy-leases", "test/apps/hiffy/app.toml", run_leases),
        bench.trial(
            "target::hiffy-runs-tests",
            "test/apps/foreign/app.toml",
            run_tests,
        ),
    ]
}

/// What a function returned.
pub(super) type Returned = Result<Vec<u8>, u32>;

fn run(rig: &Rig) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    rig.tool.format(&card)?;
    let mut config = Config::new(&rig.image.elf, Some(&card));
    config.debugger = true;
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    // The demo crashes once, in its first boot; calls before that would race with it.
    machine.uart5.wait_for("crashlog: ready; boot 2", LIMIT)?;
    let executor = Executor {
        machine: &machine,
        variables: variables(rig)?,
    };

    executor.forget_the_boot_before()?;
    let state = executor.call(&send(SEND, JEFE, GET_STATE, &[], &[4]), &[])?;
    ensure!(state == [Ok(vec![0; 4])], "Jefe.get_state: {state:?}");

    let status = executor.status()?;
    ensure!(
        matches!(status.state, RecorderState::Ready | RecorderState::Suspended)
            && (status.boot, status.crashes) == (2, 1),
        "CrashLog.status: {status:?}"
    );

    // An error of the interface comes back as its code: there is no crash 7.
    let info = send(SEND, CRASHLOG, CRASH_INFO, &[7, 0, 0, 0], &[200]);
    let info = executor.call(&info, &[])?;
    ensure!(
        matches!(info[..], [Err(code)] if (1..=0xffff).contains(&code)),
        "CrashLog.crash_info: {info:?}"
    );

    // A lease of the debugger's data: event stream, level info, nothing lost, a line of text.
    let append = send(SEND_LEASE_READ, CRASHLOG, APPEND, &[1, 2, 0, 0], &[4, 6]);
    let twice = [append.clone(), append].concat();
    let numbers = executor.call(&twice, b"\0hello")?;
    let [Ok(first), Ok(second)] = &numbers[..] else {
        bail!("CrashLog.append: {numbers:?}");
    };
    ensure!(
        word(second)? > word(first)?,
        "CrashLog.append: sequence numbers {first:?} and {second:?}"
    );

    // A lease that the server writes, behind the empty reply: the page that the second record is on.
    let flushed = executor.call(&send(SEND, CRASHLOG, FLUSH, &[], &[4]), &[])?;
    ensure!(
        matches!(flushed[..], [Ok(_)]),
        "CrashLog.flush: {flushed:?}"
    );
    let newest = executor
        .status()?
        .newest_page
        .context("no page is on the card")?;
    // Other tasks log as well, so there may be pages behind it.
    let mut read = Vec::new();
    for page in (newest.saturating_sub(PAGES_BEHIND)..=newest).rev() {
        read = executor.page(page)?;
        if read.windows(5).any(|text| text == b"hello") {
            break;
        }
    }
    ensure!(
        read.windows(5).any(|text| text == b"hello"),
        "CrashLog.read_page: none of the {PAGES_BEHIND} pages up to {newest} has what was appended; the last read is {read:02x?}"
    );

    // A loop that sleeps three times.
    let looped = [4, 0, 7, 0, 0, 2, 4, 5, 1, SLEEP, 2, 4, 1, 10, 4, 3, 16, 0];
    let slept = executor.call(&looped, &[])?;
    ensure!(
        slept == [Ok(vec![]), Ok(vec![]), Ok(vec![])],
        "Sleep: {slept:?}"
    );

    // Programs that are wrong are counted as errors, and the executor goes on.
    for wrong in [&[23][..], &[2, 2], &[4, 0, 1, SLEEP], &[1, 77]] {
        if let Ok(returned) = executor.call(wrong, &[]) {
            bail!("{wrong:?} should not run: {returned:?}");
        }
    }
    let state = executor.call(&send(SEND, JEFE, GET_STATE, &[], &[4]), &[])?;
    ensure!(
        state == [Ok(vec![0; 4])],
        "Jefe.get_state afterwards: {state:?}"
    );
    machine.quit()?;
    Ok(Cases::one())
}

/// A test image: its executor has one function, which runs a case and tells how it ended.
fn run_tests(rig: &Rig) -> Result<Cases> {
    let mut config = Config::new(&rig.image.elf, None);
    config.debugger = true;
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    machine.uart5.wait_for("finished:", LIMIT)?;
    let executor = Executor {
        machine: &machine,
        variables: variables(rig)?,
    };
    // The third case passes; there is no case 99, and the suite dies of it.
    for (case, result) in [(2, 1_u32), (99, 0)] {
        let ended = executor.call(&[4, case, 1, 0], &[])?;
        ensure!(
            ended == [Ok(result.to_le_bytes().to_vec())],
            "RunTest({case}): {ended:?}"
        );
    }
    machine.quit()?;
    Ok(Cases::one())
}

/// Two leases in one call: the server gets the debugger's data as the first and writes the second, and what it wrote
/// comes back behind its reply.
fn run_leases(rig: &Rig) -> Result<Cases> {
    let mut config = Config::new(&rig.image.elf, None);
    config.debugger = true;
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    let executor = Executor {
        machine: &machine,
        variables: variables(rig)?,
    };
    let (read, write) = (b"lease of six".as_slice(), 8_u8);
    let call = |operation, lease: u8, length: u8, reply: u8| {
        let message = [lease, 0, 0, 0, 0, 0, 0, 0, length, 0, 0, 0];
        let sizes = [reply, write, read.len() as u8];
        let program = send(SEND_LEASE_READ_WRITE, ASSIST, operation, &message, &sizes);
        let mut returned = executor.call(&program, read)?;
        ensure!(returned.len() == 1, "operation {operation}: {returned:?}");
        match returned.remove(0) {
            Ok(bytes) => Ok(bytes),
            Err(code) => bail!("operation {operation} on lease {lease}: code {code:#x}"),
        }
    };
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };

    // There is a lease; its attributes; its length.
    for (lease, attributes, length) in [(0, 1, read.len() as u32), (1, 2, write.into())] {
        let info = call(BORROW_INFO, lease, 0, 12)?;
        ensure!(
            info[..12] == words(&[1, attributes, length]),
            "lease {lease}: {info:02x?}"
        );
    }
    let got = call(BORROW_READ, 0, read.len() as u8, 12)?;
    let first = [&words(&[0, read.len() as u32])[..], &read[..4]].concat();
    ensure!(got[..12] == first, "what was read: {got:02x?}");
    let put = call(BORROW_WRITE, 1, write, 8)?;
    let written: Vec<u8> = (1..=write).collect();
    ensure!(
        put == [words(&[0, write.into()]), written].concat(),
        "what was written: {put:02x?}"
    );
    machine.quit()?;
    Ok(Cases::one())
}

fn word(bytes: &[u8]) -> Result<u32> {
    match bytes.try_into() {
        Ok(bytes) => Ok(u32::from_le_bytes(bytes)),
        Err(_) => bail!("{bytes:02x?} is no word"),
    }
}

/// A call of a sending function as Humility writes it: arguments, call, and the arguments dropped.
pub(super) fn send(function: u8, task: u8, operation: u8, message: &[u8], sizes: &[u8]) -> Vec<u8> {
    let length = message.len() as u8;
    let numbers = [task, operation].into_iter().chain(message.iter().copied());
    let numbers = numbers.chain([length]).chain(sizes.iter().copied());
    let mut text: Vec<u8> = numbers.flat_map(|number| [4, number]).collect();
    let depth = text.len() as u8 / 2;
    text.extend([1, function, 3, depth]);
    text
}

/// The executor's memory.
pub(super) struct Executor<'a> {
    pub(super) machine: &'a Machine,
    pub(super) variables: BTreeMap<String, u32>,
}

impl Executor<'_> {
    /// Memory keeps what it held over the reset, so the executor may seem ready before it has begun. It says so anew each
    /// time it goes to sleep.
    fn forget_the_boot_before(&self) -> Result<()> {
        let mut debugger = self.connect()?;
        debugger.set_word(self.address("HIFFY_READY")?, 0)?;
        debugger.detach()
    }

    /// A page of the log, read through a lease that the recorder writes.
    fn page(&self, page: u32) -> Result<Vec<u8>> {
        let mut read = send(
            SEND_LEASE_WRITE,
            CRASHLOG,
            READ_PAGE,
            &page.to_le_bytes(),
            &[0],
        );
        // Four bytes from the end, before the call: the lease's size, which takes two bytes.
        let end = read.len() - 4;
        read.splice(end..end, [5, 0, 2]);
        read.extend([2]);
        match &self.call(&read, &[])?[..] {
            [Ok(bytes)] if bytes.len() == 512 => Ok(bytes.clone()),
            pages => bail!("CrashLog.read_page({page}): {pages:?}"),
        }
    }

    /// Runs a program, to which the end is added; what its functions returned.
    pub(super) fn call(&self, program: &[u8], data: &[u8]) -> Result<Vec<Returned>> {
        let deadline = Instant::now() + LIMIT;
        // The machine stands while the debugger is connected.
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

    /// CrashLog.status.
    fn status(&self) -> Result<Status> {
        let size =
            u8::try_from(Status::MAX_SIZE).context("a status is longer than one byte says")?;
        let status = self.call(&send(SEND, CRASHLOG, STATUS, &[], &[size]), &[])?;
        let [Ok(bytes)] = &status[..] else {
            bail!("CrashLog.status: {status:?}");
        };
        match hubpack::deserialize(bytes) {
            Ok((status, _)) => Ok(status),
            Err(_) => bail!("CrashLog.status does not decode: {bytes:02x?}"),
        }
    }

    pub(super) fn connect(&self) -> Result<Debugger> {
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

pub(super) fn pause(deadline: Instant, what: &str) -> Result<()> {
    if Instant::now() > deadline {
        bail!("{what}");
    }
    std::thread::sleep(Duration::from_millis(20));
    Ok(())
}

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
pub(super) fn variables(rig: &Rig) -> Result<BTreeMap<String, u32>> {
    let file = File::open(&rig.image.archive)
        .with_context(|| format!("cannot open {}", rig.image.archive.display()))?;
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
