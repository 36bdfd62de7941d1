//! Failures of the kernel and of the supervisor, caused by the debugger: the kernel describes them
//! in retained RAM, the system restarts, and the next boot writes the crash.

mod image;

use super::{Cases, Rig, Session};
use crate::build::DEMO;
use crate::gdb::Debugger;
use crate::machine::{Config, Machine};
use crate::symbols::Symbols;
use anyhow::{Context, Result, ensure};
use crashlog_format::snapshot::KERNEL_OWNER;
use image::FailureImage;
use libtest_mimic::Trial;
use serde_json::Value;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Address and length of the retained region, by chips/ast2600/memory.toml.
const RETAINED: (u32, u32) = (0x80c0_0000, 0x10_0000);

/// The debugger's numbers of stack pointer and program counter.
const SP: u32 = 13;
const PC: u32 = 15;
/// Nothing is mapped there.
const NOWHERE: u32 = 0x10;

/// Functions in which the kernel or the supervisor is stopped, by their names in the archive.
const IN_AN_INTERRUPT: &str = "kern::arch::arm_a::entry::interrupt";
const IN_A_SYSTEM_CALL: &str = "kern::kipc::handle";
const IN_THE_HOOK: &str = "ast2600_kernel::on_failure";
/// Where the kernel saves a page of memory, and where it resets the system.
const IN_THE_SNAPSHOT: &str = "kern::saved_memory::save";
const IN_THE_RESET: &str = "kern::fail::restart";
const IN_THE_SUPERVISOR: &str = "<task_jefe::Server>::arm_timer";

/// REQ: X4
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    vec![
        session.trial("failure::kernel-in-an-interrupt", DEMO, |rig| {
            kernel_jumps_nowhere(rig, IN_AN_INTERRUPT)
        }),
        session.trial("failure::kernel-in-a-system-call", DEMO, |rig| {
            kernel_jumps_nowhere(rig, IN_A_SYSTEM_CALL)
        }),
        session.trial(
            "failure::kernel-without-a-runnable-task",
            DEMO,
            kernel_without_a_runnable_task,
        ),
        session.trial(
            "failure::kernel-with-a-bad-stack-pointer",
            DEMO,
            kernel_with_a_bad_stack_pointer,
        ),
        session.trial("failure::supervisor", DEMO, supervisor),
        session.trial(
            "failure::kernel-while-it-describes-a-failure",
            DEMO,
            while_describing,
        ),
        session.trial("failure::kernel-while-it-saves-memory", DEMO, while_saving),
    ]
}

/// A machine that a debugger has stopped after its start.
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
        let mut config = Config::new(&rig.image, Some(&card));
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

    /// Runs to the start of a function.
    fn run_to(&mut self, program: &str, function: &str) -> Result<()> {
        let address = self.symbols.address(program, function)?;
        self.debugger.set_break(address)?;
        self.debugger
            .run_until_break(LIMIT)
            .with_context(|| format!("{function} was not called"))?;
        self.debugger.clear_break(address)
    }

    /// Continues into the failure until the kernel resets the system, and checks the image of the
    /// memory. `failed`: index of the task that failed, or [`KERNEL_OWNER`].
    fn has_image(&mut self, failed: u16) -> Result<()> {
        self.run_to("kernel", IN_THE_RESET)?;
        let mut memory = |address, length| self.machine.memory(address, length);
        let image = FailureImage::read(&memory(RETAINED.0, RETAINED.1)?)?;
        image.check(failed, &self.symbols, &mut memory)
    }

    /// Continues into the failure, and waits until the next boot has found the crash. Returns the
    /// crash.
    fn recorded(self) -> Result<Value> {
        self.debugger.detach()?;
        let found = |line: &str| line.contains("newest is 1: kernel failure");
        self.machine.uart5.watch(
            "that the second boot has found the crash",
            LIMIT,
            |_| {},
            |line| line.contains("boot 2") || found(line),
        )?;
        self.machine
            .uart5
            .watch("that the crash was found", LIMIT, |_| {}, found)?;
        self.machine.quit()?;
        self.rig.tool.verify(&self.card)?;
        let crashes = self.rig.tool.crashes(&self.card)?;
        ensure!(
            crashes.len() == 1,
            "one failure, but these crashes: {crashes:#?}"
        );
        let crash = self.rig.tool.json([
            OsStr::new("show"),
            OsStr::new("--json"),
            OsStr::new("--archive"),
            self.rig.image.archive.as_os_str(),
            self.card.as_os_str(),
        ])?;
        ensure!(
            crash["reason"] == "kernel" && crash["late"] == "no emergency write",
            "the crash is another: {crash:#}"
        );
        ensure!(crash["boot"] == 1, "the crash is of boot {}", crash["boot"]);
        // The tool uses an archive only if the image id in the crash is that of the archive.
        ensure!(
            crash["archive"].is_string() && crash["image_id"].is_string(),
            "the crash does not name its image: {}",
            crash["image_id"]
        );
        ensure!(
            crash["log_records"].is_null(),
            "a number of log records, which the next boot does not know: {}",
            crash["log_records"]
        );
        // The text for people has the tasks, too.
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
        Ok(crash)
    }
}

/// A segment of a crash, which must be sound.
fn segment<'a>(crash: &'a Value, kind: &str) -> Result<&'a Value> {
    crash["segments"]
        .as_array()
        .and_then(|segments| segments.iter().find(|segment| segment["kind"] == kind))
        .filter(|segment| segment["sound"] == true)
        .with_context(|| format!("no sound segment {kind}: {crash:#}"))
}

/// All tasks, as the crash lists them.
fn tasks(crash: &Value) -> Result<&Vec<Value>> {
    segment(crash, "tasks")?["tasks"]
        .as_array()
        .context("the segment has no tasks")
}

fn check_tasks(crash: &Value) -> Result<()> {
    let tasks = tasks(crash)?;
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
        "there must be one current task: {tasks:#?}"
    );
    ensure!(
        tasks.iter().all(|task| task["pc"].as_u64() > Some(0)),
        "a task without registers: {tasks:#?}"
    );
    Ok(())
}

fn epitaph(crash: &Value) -> Result<&str> {
    segment(crash, "epitaph")?["text"]
        .as_str()
        .context("the epitaph is no text")
}

/// The kernel jumps to an address that is not mapped.
fn kernel_jumps_nowhere(rig: &Rig, function: &str) -> Result<Cases> {
    let mut stopped = Stopped::ready(rig)?;
    stopped.run_to("kernel", function)?;
    let registers = stopped.debugger.registers()?;
    stopped.debugger.set_register(PC, NOWHERE)?;
    stopped.has_image(KERNEL_OWNER)?;
    let crash = stopped.recorded()?;
    ensure!(
        crash["task"] == "kernel" && crash["task_index"] == 0xffff,
        "the crash is not the kernel's: {crash:#}"
    );
    let epitaph = epitaph(&crash)?;
    ensure!(
        epitaph.starts_with("kernel prefetch abort at 0x10: IFSR "),
        "the epitaph is {epitaph:?}"
    );
    let (sp, pc) = (&crash["registers"]["sp"], &crash["registers"]["pc"]);
    ensure!(
        *sp == registers[13] && *pc == NOWHERE,
        "sp {sp} and pc {pc}, not {} and {NOWHERE}",
        registers[13]
    );
    ensure!(
        crash["registers"]["r4"] == registers[4] && crash["registers"]["lr"] == registers[14],
        "r4 and lr are not those of the kernel: {crash:#}"
    );
    check_tasks(&crash)?;
    Ok(Cases::one())
}

/// The kernel finds that no task can run.
fn kernel_without_a_runnable_task(rig: &Rig) -> Result<Cases> {
    let mut stopped = Stopped::ready(rig)?;
    stopped.run_to("kernel", IN_AN_INTERRUPT)?;
    for (address, size) in stopped.symbols.variable("kernel", "kern::table::SETS")? {
        stopped
            .debugger
            .set_memory(address, &vec![0; size as usize])?;
    }
    let crash = stopped.recorded()?;
    let epitaph = epitaph(&crash)?;
    ensure!(epitaph == "no runnable task", "the epitaph is {epitaph:?}");
    check_tasks(&crash)?;
    // Tasks that are woken still run; when they wait again there is no idle task. The chain of
    // calls shows where the kernel noticed.
    let chain = crash["chain"].to_string();
    ensure!(
        chain.contains("kern::fail::die") && chain.contains("kern::table::Kernel>::pick"),
        "the chain of calls is {chain}"
    );
    segment(&crash, "stack")?;
    Ok(Cases::one())
}

/// The kernel's stack pointer is bad: the kernel has only the stack for failures.
fn kernel_with_a_bad_stack_pointer(rig: &Rig) -> Result<Cases> {
    let mut stopped = Stopped::ready(rig)?;
    stopped.run_to("kernel", IN_AN_INTERRUPT)?;
    stopped.debugger.set_register(SP, NOWHERE)?;
    stopped.has_image(KERNEL_OWNER)?;
    let crash = stopped.recorded()?;
    let epitaph = epitaph(&crash)?;
    ensure!(
        epitaph.starts_with("kernel data abort at 0x801") && epitaph.contains("address 0x"),
        "the epitaph is {epitaph:?}"
    );
    ensure!(
        segment(&crash, "stack").is_err(),
        "the crash has a stack, but there is none at {NOWHERE:#x}"
    );
    check_tasks(&crash)?;
    Ok(Cases::one())
}

/// The supervisor jumps to an address that is not mapped.
fn supervisor(rig: &Rig) -> Result<Cases> {
    let mut stopped = Stopped::ready(rig)?;
    stopped.run_to("jefe", IN_THE_SUPERVISOR)?;
    stopped.debugger.set_register(PC, NOWHERE)?;
    stopped.has_image(0)?;
    let crash = stopped.recorded()?;
    ensure!(
        crash["task"] == "jefe" && crash["fault"] == "IllegalText",
        "the crash is another: {crash:#}"
    );
    let epitaph = epitaph(&crash)?;
    ensure!(
        epitaph == "supervisor fault: IllegalText",
        "the epitaph is {epitaph:?}"
    );
    ensure!(
        crash["registers"]["pc"] == NOWHERE,
        "the program counter is {}",
        crash["registers"]["pc"]
    );
    check_tasks(&crash)?;
    ensure!(
        tasks(&crash)?[0]["current"] == true,
        "the supervisor must be the current task"
    );
    Ok(Cases::one())
}

/// The kernel fails while it describes its failure: it restarts the system, and nothing is
/// recorded.
fn while_describing(rig: &Rig) -> Result<Cases> {
    let mut stopped = Stopped::ready(rig)?;
    stopped.run_to("kernel", IN_AN_INTERRUPT)?;
    stopped.debugger.set_register(PC, NOWHERE)?;
    stopped.run_to("kernel", IN_THE_HOOK)?;
    stopped.debugger.set_register(PC, NOWHERE)?;
    stopped.debugger.detach()?;
    stopped.machine.uart5.watch(
        "that the second boot has begun",
        LIMIT,
        |_| {},
        |line| line.contains("crashlog: ready; boot 2, no crash"),
    )?;
    stopped.machine.quit()?;
    rig.tool.verify(&stopped.card)?;
    Ok(Cases::one())
}

/// The kernel fails again while it saves memory: the description of the first failure stays, and
/// there is no image.
fn while_saving(rig: &Rig) -> Result<Cases> {
    let mut stopped = Stopped::ready(rig)?;
    stopped.run_to("kernel", IN_AN_INTERRUPT)?;
    stopped.debugger.set_register(PC, NOWHERE)?;
    stopped.run_to("kernel", IN_THE_SNAPSHOT)?;
    stopped.debugger.set_register(PC, NOWHERE)?;
    stopped.run_to("kernel", IN_THE_RESET)?;
    let region = stopped.machine.memory(RETAINED.0, RETAINED.1)?;
    ensure!(
        FailureImage::read(&region).is_err(),
        "an image that was not finished counts"
    );
    let crash = stopped.recorded()?;
    let epitaph = epitaph(&crash)?;
    ensure!(
        epitaph.starts_with("kernel prefetch abort at 0x10: IFSR "),
        "the epitaph is {epitaph:?}"
    );
    check_tasks(&crash)?;
    Ok(Cases::one())
}
