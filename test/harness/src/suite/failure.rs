//! Failures of the kernel and of the supervisor, made with the debugger: what nobody is left to record is kept in
//! retained RAM, the system restarts, and the next boot has the record.

use super::{Bench, Cases, Rig};
use crate::build::DEMO;
use crate::gdb::Debugger;
use crate::machine::{Config, Machine};
use crate::symbols::Symbols;
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Numbers of stack pointer and program counter in the debugger's protocol.
const SP: u32 = 13;
const PC: u32 = 15;
/// Nothing is mapped there.
const NOWHERE: u32 = 0x10;

/// Where the kernel is stopped, in its archive's names.
const IN_AN_INTERRUPT: &str = "kern::arch::arm_a::entry::interrupt";
const IN_A_SYSTEM_CALL: &str = "kern::kipc::handle";
const IN_THE_HOOK: &str = "ast2600_kernel::on_failure";
const IN_THE_SUPERVISOR: &str = "<task_jefe::Server>::arm_timer";

/// REQ: X4
pub fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    vec![
        bench.trial("failure::kernel-in-an-interrupt", DEMO, |rig| {
            kernel_jumps_nowhere(rig, IN_AN_INTERRUPT)
        }),
        bench.trial("failure::kernel-in-a-system-call", DEMO, |rig| {
            kernel_jumps_nowhere(rig, IN_A_SYSTEM_CALL)
        }),
        bench.trial("failure::kernel-gives-up", DEMO, kernel_gives_up),
        bench.trial(
            "failure::kernel-without-a-stack",
            DEMO,
            kernel_without_a_stack,
        ),
        bench.trial("failure::supervisor", DEMO, supervisor),
        bench.trial("failure::twice", DEMO, twice),
    ]
}

/// A machine that runs, and a debugger that has stopped it.
struct Stopped<'a> {
    rig: &'a Rig,
    card: PathBuf,
    machine: Machine,
    debugger: Debugger,
    symbols: Symbols,
}

impl<'a> Stopped<'a> {
    /// Boots with a new card, and stops when the recorder is ready.
    fn ready(rig: &'a Rig) -> Result<Self> {
        let card = rig.artefacts.path("card.img");
        rig.tool.format(&card)?;
        let mut config = Config::new(&rig.image.elf, Some(&card));
        config.debugger = true;
        let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
        machine.run()?;
        machine.uart5.wait_for("crashlog: ready; boot 1", LIMIT)?;
        let debugger = Debugger::connect(&machine.debugger_socket())?;
        let symbols = Symbols::read(&rig.image)?;
        Ok(Self {
            rig,
            card,
            machine,
            debugger,
            symbols,
        })
    }

    /// Runs to the begin of a function.
    fn run_to(&mut self, program: &str, function: &str) -> Result<()> {
        let address = self.symbols.address(program, function)?;
        self.debugger.set_break(address)?;
        self.debugger
            .run_until_break(LIMIT)
            .with_context(|| format!("{function} was not called"))?;
        self.debugger.clear_break(address)
    }

    /// Lets it run on into what was prepared, and waits until the next boot has found the record.
    fn recorded(self) -> Result<Value> {
        self.debugger.detach()?;
        let found = |line: &str| line.contains("newest is 1: kernel failure");
        self.machine.uart5.watch(
            "the second boot finding the record",
            LIMIT,
            |_| {},
            |line| line.contains("boot 2") || found(line),
        )?;
        self.machine
            .uart5
            .watch("the late record", LIMIT, |_| {}, found)?;
        self.machine.quit()?;
        self.rig.tool.verify(&self.card)?;
        let records = self.rig.tool.records(&self.card)?;
        ensure!(
            records.len() == 1,
            "one failure, but these records: {records:#?}"
        );
        let record = self.rig.tool.json([
            OsStr::new("show"),
            OsStr::new("--json"),
            OsStr::new("--archive"),
            self.rig.image.archive.as_os_str(),
            self.card.as_os_str(),
        ])?;
        ensure!(
            record["reason"] == "kernel" && record["late"] == "no emergency write",
            "the record is another: {record:#}"
        );
        ensure!(
            record["boot"] == 1,
            "the record is of boot {}",
            record["boot"]
        );
        ensure!(
            record["log_records"].as_u64().is_some(),
            "no number of log records"
        );
        // What people read says it too.
        let text = self.rig.tool.text([
            OsStr::new("show"),
            OsStr::new("--archive"),
            self.rig.image.archive.as_os_str(),
            self.card.as_os_str(),
        ])?;
        ensure!(
            text.contains("What every task was doing"),
            "the report does not show the tasks:\n{text}"
        );
        Ok(record)
    }
}

/// A segment of a record.
fn segment<'a>(record: &'a Value, kind: &str) -> Result<&'a Value> {
    record["segments"]
        .as_array()
        .and_then(|segments| segments.iter().find(|segment| segment["kind"] == kind))
        .filter(|segment| segment["sound"] == true)
        .with_context(|| format!("no sound segment {kind}: {record:#}"))
}

/// All tasks, as the record lists them.
fn tasks(record: &Value) -> Result<&Vec<Value>> {
    segment(record, "tasks")?["tasks"]
        .as_array()
        .context("the segment has no tasks")
}

fn check_tasks(record: &Value) -> Result<()> {
    let tasks = tasks(record)?;
    let names: Vec<_> = tasks
        .iter()
        .filter_map(|task| task["task"].as_str())
        .collect();
    ensure!(
        names.len() == tasks.len() && matches!(names[..], ["jefe", "crashlog", .., "idle"]),
        "the tasks are {names:?}"
    );
    ensure!(
        tasks.iter().filter(|task| task["current"] == true).count() == 1,
        "one task runs at a time: {tasks:#?}"
    );
    ensure!(
        tasks.iter().all(|task| task["pc"].as_u64() > Some(0)),
        "a task without registers: {tasks:#?}"
    );
    Ok(())
}

fn epitaph(record: &Value) -> Result<&str> {
    segment(record, "epitaph")?["text"]
        .as_str()
        .context("the epitaph is no text")
}

/// The kernel's program counter goes astray.
fn kernel_jumps_nowhere(rig: &Rig, function: &str) -> Result<Cases> {
    let mut stopped = Stopped::ready(rig)?;
    stopped.run_to("kernel", function)?;
    let registers = stopped.debugger.registers()?;
    stopped.debugger.set_register(PC, NOWHERE)?;
    let record = stopped.recorded()?;
    ensure!(
        record["task"] == "kernel" && record["task_index"] == 0xffff,
        "the record is not the kernel's: {record:#}"
    );
    let epitaph = epitaph(&record)?;
    ensure!(
        epitaph.starts_with("kernel prefetch abort at 0x10: IFSR "),
        "the epitaph is {epitaph:?}"
    );
    let (sp, pc) = (&record["registers"]["sp"], &record["registers"]["pc"]);
    ensure!(
        *sp == registers[13] && *pc == NOWHERE,
        "sp {sp} and pc {pc}, not {} and {NOWHERE}",
        registers[13]
    );
    ensure!(
        record["registers"]["r4"] == registers[4] && record["registers"]["lr"] == registers[14],
        "r4 and lr are not those of the kernel: {record:#}"
    );
    check_tasks(&record)?;
    Ok(Cases::one())
}

/// The kernel finds that something is wrong with its tables: no task is left that could run.
fn kernel_gives_up(rig: &Rig) -> Result<Cases> {
    let mut stopped = Stopped::ready(rig)?;
    stopped.run_to("kernel", IN_AN_INTERRUPT)?;
    for (address, size) in stopped.symbols.variable("kernel", "kern::table::SETS")? {
        stopped
            .debugger
            .set_memory(address, &vec![0; size as usize])?;
    }
    let record = stopped.recorded()?;
    let epitaph = epitaph(&record)?;
    ensure!(epitaph == "no runnable task", "the epitaph is {epitaph:?}");
    check_tasks(&record)?;
    // Tasks that are woken still run, but when they wait again there is no idle task. Where that was is known by
    // function and line.
    let chain = record["chain"].to_string();
    ensure!(
        chain.contains("kern::fail::die") && chain.contains("kern::table::Kernel>::pick"),
        "the chain of calls is {chain}"
    );
    segment(&record, "stack")?;
    Ok(Cases::one())
}

/// The kernel's stack pointer goes astray: it has no stack to fail on but the one for that.
fn kernel_without_a_stack(rig: &Rig) -> Result<Cases> {
    let mut stopped = Stopped::ready(rig)?;
    stopped.run_to("kernel", IN_AN_INTERRUPT)?;
    stopped.debugger.set_register(SP, NOWHERE)?;
    let record = stopped.recorded()?;
    let epitaph = epitaph(&record)?;
    ensure!(
        epitaph.starts_with("kernel data abort at 0x801") && epitaph.contains("address 0x"),
        "the epitaph is {epitaph:?}"
    );
    ensure!(
        segment(&record, "stack").is_err(),
        "there is no stack at {NOWHERE:#x}"
    );
    check_tasks(&record)?;
    Ok(Cases::one())
}

/// The supervisor's program counter goes astray.
fn supervisor(rig: &Rig) -> Result<Cases> {
    let mut stopped = Stopped::ready(rig)?;
    stopped.run_to("jefe", IN_THE_SUPERVISOR)?;
    stopped.debugger.set_register(PC, NOWHERE)?;
    let record = stopped.recorded()?;
    ensure!(
        record["task"] == "jefe" && record["fault"] == "IllegalText",
        "the record is another: {record:#}"
    );
    let epitaph = epitaph(&record)?;
    ensure!(
        epitaph == "supervisor fault: IllegalText",
        "the epitaph is {epitaph:?}"
    );
    ensure!(
        record["registers"]["pc"] == NOWHERE,
        "the program counter is {}",
        record["registers"]["pc"]
    );
    check_tasks(&record)?;
    ensure!(
        tasks(&record)?[0]["current"] == true,
        "the supervisor was running"
    );
    Ok(Cases::one())
}

/// The kernel fails while it writes down that it has failed: it restarts the system all the same.
fn twice(rig: &Rig) -> Result<Cases> {
    let mut stopped = Stopped::ready(rig)?;
    stopped.run_to("kernel", IN_AN_INTERRUPT)?;
    stopped.debugger.set_register(PC, NOWHERE)?;
    stopped.run_to("kernel", IN_THE_HOOK)?;
    stopped.debugger.set_register(PC, NOWHERE)?;
    stopped.debugger.detach()?;
    stopped.machine.uart5.watch(
        "the second boot",
        LIMIT,
        |_| {},
        |line| line.contains("crashlog: ready; boot 2, no crash"),
    )?;
    stopped.machine.quit()?;
    rig.tool.verify(&stopped.card)?;
    Ok(Cases::one())
}
