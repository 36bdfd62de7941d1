//! Calls of interfaces through the HIF executor, as Humility does them.

use super::{Cases, Rig, Session};
use crate::build::DEMO;
use crate::hif_executor::{
    Executor, SEND, SEND_LEASE_READ, SEND_LEASE_READ_WRITE, SEND_LEASE_WRITE, SLEEP, send,
};
use crate::machine::{Config, Machine};
use anyhow::{Context, Result, bail, ensure};
use hubpack::SerializedSize;
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::Duration;
use task_crashlog_api::{RecorderState, RecorderStatus};

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

/// How many pages other tasks may fill between a flush and the call that asks for the newest page.
const PAGES_BEHIND: u32 = 8;

/// The server of `test/apps/hiffy/app.toml` and its operations (`test/lib/api`). Their arguments
/// are a lease, an offset and a length.
const ASSIST: u8 = 1;
const BORROW_READ: u8 = 14;
const BORROW_WRITE: u8 = 15;
const BORROW_INFO: u8 = 16;

/// REQ: C6: interfaces can be called through the executor as Humility does it.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    vec![
        session.trial("target::hiffy", DEMO, run),
        session.trial(
            "target::hiffy-leases",
            "test/apps/hiffy/app.toml",
            run_leases,
        ),
        session.trial(
            "target::hiffy-runs-tests",
            "test/apps/foreign/app.toml",
            run_tests,
        ),
    ]
}

fn run(rig: &Rig) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    rig.tool.format(&card)?;
    let mut config = Config::new(&rig.image, Some(&card));
    config.debugger = true;
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    // The demo crashes once, in its first boot; earlier calls would race with the crash.
    machine.uart5.wait_for("crashlog: ready; boot 2", LIMIT)?;
    let executor = Executor::new(&machine, &rig.image)?;

    executor.clear_ready()?;
    let state = executor.call(&send(SEND, JEFE, GET_STATE, &[], &[4]), &[])?;
    ensure!(state == [Ok(vec![0; 4])], "Jefe.get_state: {state:?}");

    let status = executor.status()?;
    ensure!(
        matches!(
            status.state,
            RecorderState::Ready | RecorderState::Suspended
        ) && (status.boot, status.crashes) == (2, 1),
        "CrashLog.status: {status:?}"
    );

    // An error of the interface is returned as its code: there is no crash 7.
    let info = send(SEND, CRASHLOG, CRASH_INFO, &[7, 0, 0, 0], &[200]);
    let info = executor.call(&info, &[])?;
    ensure!(
        matches!(info[..], [Err(code)] if (1..=0xffff).contains(&code)),
        "CrashLog.crash_info: {info:?}"
    );

    // A lease with the debugger's data: event stream, level info, no lost records, a line of text.
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

    // A lease that the server writes, returned after the empty reply: the page with the second
    // record.
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

    // Invalid programs are counted as errors, and the executor goes on.
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

/// A test image: its executor has one function, which runs a case and returns its result.
fn run_tests(rig: &Rig) -> Result<Cases> {
    let mut config = Config::new(&rig.image, None);
    config.debugger = true;
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    machine.uart5.wait_for("finished:", LIMIT)?;
    let executor = Executor::new(&machine, &rig.image)?;
    // The third case passes; there is no case 99, and the suite faults, and is restarted for the
    // next one.
    for (case, result) in [(2, 1_u32), (99, 0), (2, 1)] {
        let ended = executor.call(&[4, case, 1, 0], &[])?;
        ensure!(
            ended == [Ok(result.to_le_bytes().to_vec())],
            "RunTest({case}): {ended:?}"
        );
    }
    machine.quit()?;
    Ok(Cases::one())
}

/// Two leases in one call: the server reads the debugger's data in the first one and writes the
/// second one, which is returned after its reply.
fn run_leases(rig: &Rig) -> Result<Cases> {
    let mut config = Config::new(&rig.image, None);
    config.debugger = true;
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    let executor = Executor::new(&machine, &rig.image)?;
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

    // Whether there is a lease, its attributes, its length.
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
        Err(_) => bail!("{bytes:02x?} is not a word"),
    }
}

impl Executor<'_> {
    /// A page of the log, read through a lease that the recorder writes.
    fn page(&self, page: u32) -> Result<Vec<u8>> {
        let mut read = send(
            SEND_LEASE_WRITE,
            CRASHLOG,
            READ_PAGE,
            &page.to_le_bytes(),
            &[0],
        );
        // Insert a push of the lease's size, which needs two bytes, before the last four bytes: the
        // call.
        let end = read.len() - 4;
        read.splice(end..end, [5, 0, 2]);
        read.extend([2]);
        match &self.call(&read, &[])?[..] {
            [Ok(bytes)] if bytes.len() == 512 => Ok(bytes.clone()),
            pages => bail!("CrashLog.read_page({page}): {pages:?}"),
        }
    }

    /// CrashLog.status.
    fn status(&self) -> Result<RecorderStatus> {
        let size = u8::try_from(RecorderStatus::MAX_SIZE)
            .context("a status is longer than one byte says")?;
        let status = self.call(&send(SEND, CRASHLOG, STATUS, &[], &[size]), &[])?;
        let [Ok(bytes)] = &status[..] else {
            bail!("CrashLog.status: {status:?}");
        };
        match hubpack::deserialize(bytes) {
            Ok((status, _)) => Ok(status),
            Err(_) => bail!("CrashLog.status does not decode: {bytes:02x?}"),
        }
    }
}
