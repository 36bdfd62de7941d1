//! Damage of the retained region and of the ledger: what survives a reset may be anything, and must
//! not keep the system from coming up.
//!
//! A [`Scene`] is a system with something in every part of the region, made by the code of the
//! target: supervisor, recorder and the kernel's description of its own failure. One word of the
//! region or of the ledger is damaged ([`Damage`]), and then the system is reset, or the recorder
//! alone is restarted. What starts is the recorder's `main` and, where the supervisor is asked,
//! `crashlog-supervisor` with a kernel of the test.
//!
//! Then it must come up: within a few resets, without a panic, with few system calls and register
//! accesses. A client appends a record, and it is there afterwards: on the card, or in RAM if the
//! recorder says that it does not use the card, which is then as it was.

mod ledger;
mod scene;
mod supervisor;
mod survivor;

pub use ledger::Copies;
pub use scene::{Scene, scenes, strange_scenes};

use std::any::Any;
use std::cell::RefCell;
use std::panic::resume_unwind;
use std::rc::Rc;

use block_device::{BLOCK_LEN, Block};
use crashlog_retained::Region;
use crashlog_supervisor::Supervisor;
use drv_sdhci_sim::{Buffer, Crashed, Simulator};
use fault_matrix::image::Image;
use fault_matrix::setup::Setup;

use crate::kernel::World;
use crate::{config, jefe, panics, retained, start};
use supervisor::{CONFIG, Neighbours};
use survivor::{Expected, Survivor};

/// Blocks of the region: the smallest region, with a dump area for a small image.
const BLOCKS: usize = Region::len_with(128) / BLOCK_LEN + 40;

/// Most starts until the system is up: those of the recorder, and of all.
const MOST_STARTS: u32 = 6;

/// Most register accesses, and as many system calls, from a start to the first RECV. The emergency
/// path has 1.5 s, in which it polls.
const MOST_ACCESSES: u64 = 1_500_000;

/// From this page number on, the numbers are used up by what a start and the client write.
const LAST_PAGES: u32 = u32::MAX - 8;

/// A word that has another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it is.
    pub place: Place,
    /// The word in that block.
    pub word: usize,
    /// What is there instead.
    pub value: u32,
}

/// What is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// This block of the region.
    Region(usize),
    /// These copies of the ledger on the card, whose checksum is right again afterwards.
    Ledger(Copies),
}

/// What begins anew after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// The system.
    System,
    /// The recorder, in the same boot.
    Recorder,
}

/// Why the recorder has ended: thrown in a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thrown {
    /// The system is up.
    Up,
    /// The supervisor restarts the recorder.
    Restart,
    /// The supervisor resets the system.
    Reset,
}

fn throw(what: Thrown) -> ! {
    resume_unwind(Box::new(what))
}

std::thread_local! {
    /// The retained region: what recorder and supervisor borrow for ever.
    static MEMORY: &'static Buffer = {
        let buffer = Simulator::new(Setup::BASE.card()).buffer(BLOCKS);
        Box::leak(Box::new(buffer))
    };
}

/// The region in the memory of this thread, and the memory.
fn region() -> (Region<'static>, &'static Buffer) {
    let memory = MEMORY.with(|memory| *memory);
    let region = Region::over(memory).expect("a region is long enough");
    retained::install(region);
    (region, memory)
}

type HeldSupervisor = Rc<RefCell<Supervisor<'static, Neighbours>>>;

/// Begins a boot.
fn begin_boot(region: Region<'static>) -> HeldSupervisor {
    let supervisor = Supervisor::new(CONFIG, Neighbours, region);
    for task in 0..crate::NUM_TASKS {
        let delay = supervisor.start_delay(task);
        assert!(
            delay <= CONFIG.limits.backoff_max_ms,
            "task {task} starts {delay} ms later"
        );
    }
    let supervisor = Rc::new(RefCell::new(supervisor));
    let asked = supervisor.clone();
    jefe::install(Box::new(move |_| {
        asked.borrow_mut().emergency_done(config::TASK_INDEX)
    }));
    supervisor
}

/// Damages a scene, if that is wanted, and starts what is left. `card`: there is one in the slot.
///
/// # Errors
/// What did not hold.
pub fn start(
    scene: &Scene,
    damage: Option<Damage>,
    restart: Restart,
    card: bool,
) -> Result<(), String> {
    start_with(scene, damage.as_slice(), restart, card).map(drop)
}

/// As [`start`], with several words of the region damaged.
///
/// # Errors
/// What did not hold.
pub fn start_with_many(
    scene: &Scene,
    damage: &[Damage],
    restart: Restart,
    card: bool,
) -> Result<(), String> {
    start_with(scene, damage, restart, card).map(drop)
}

/// The texts of the log on the card after [`start`] of the system, with a card.
///
/// # Errors
/// What did not hold.
///
/// # Panics
/// If the log cannot be read.
pub fn log_after(scene: &Scene, damage: Damage) -> Result<Vec<String>, String> {
    let sim = start_with(scene, &[damage], Restart::System, true)?;
    let image = Image {
        blocks: Setup::BASE.blocks().into(),
        content: sim.card().contents(),
    };
    let payloads = image.read_log().log.into_values();
    Ok(payloads
        .map(|payload| String::from_utf8_lossy(&payload).into_owned())
        .collect())
}

fn start_with(
    scene: &Scene,
    damage: &[Damage],
    restart: Restart,
    card: bool,
) -> Result<Simulator, String> {
    let (region, memory) = region();
    let sim = Simulator::new(scene.card());
    let mut expected = Expected::OnCard;
    for damage in damage {
        let Place::Ledger(copies) = damage.place else {
            continue;
        };
        ledger::damage(&mut sim.card(), copies, damage.word, damage.value);
        let ends = damage.word == ledger::NEXT_PAGE && damage.value >= LAST_PAGES;
        expected = if ends {
            Expected::OnLastPages
        } else {
            Expected::OnUsedCard(sim.card().contents())
        };
    }
    sim.reach(memory);
    let taken_out = (!card).then(|| sim.eject());
    if !card {
        expected = Expected::InRam;
    }
    let world = World::install(sim.clone(), Box::new(Survivor::new(sim.clone(), expected)));
    let result = panics::catch(|| {
        // What the supervisor knows is not in the region.
        scene.before.restore(memory);
        let mut supervisor = begin_boot(region);
        scene.after.restore(memory);
        for damage in damage {
            if let Place::Region(block) = damage.place {
                memory[block].set_word(damage.word, damage.value);
            }
        }
        match restart {
            Restart::System => {
                world.restart_system();
                supervisor = begin_boot(region);
            }
            Restart::Recorder => world.restart_recorder(),
        }
        for _ in 0..MOST_STARTS {
            sim.crash_after(MOST_ACCESSES);
            world.allow_calls(MOST_ACCESSES as u32);
            let thrown = panics::catch(|| start::run());
            match what_ended(thrown) {
                Thrown::Up => throw(Thrown::Up),
                Thrown::Restart => world.restart_recorder(),
                Thrown::Reset => {
                    world.restart_system();
                    supervisor = begin_boot(region);
                }
            }
        }
        drop(supervisor);
        panic!("the system does not come up in {MOST_STARTS} starts");
    });
    drop(taken_out);
    // Said here, with the damage, and not when the simulator is dropped.
    let violations = sim.violations();
    sim.allow_violations();
    match result {
        Some(thrown) if thrown.downcast_ref() == Some(&Thrown::Up) => match violations.first() {
            Some(rule) => Err(format!("a rule for the card was broken: {rule}")),
            None => Ok(sim),
        },
        Some(thrown) if thrown.is::<Crashed>() => Err("register accesses without end".to_owned()),
        _ => Err(panics::said()),
    }
}

/// Why the recorder has ended; what should not have been thrown is thrown again.
fn what_ended(thrown: Option<Box<dyn Any + Send>>) -> Thrown {
    let thrown = thrown.expect("the recorder never returns");
    match thrown.downcast_ref() {
        Some(thrown) => *thrown,
        None => resume_unwind(thrown),
    }
}

/// The words of the region.
#[derive(Clone, Debug, Default)]
pub struct Memory(Vec<[u32; BLOCK_LEN / 4]>);

impl Memory {
    fn of(memory: &[Block]) -> Self {
        let words = |block: &Block| std::array::from_fn(|word| block.word(word));
        Self(memory.iter().map(words).collect())
    }

    fn restore(&self, memory: &[Block]) {
        for (block, words) in memory.iter().zip(&self.0) {
            for (index, word) in words.iter().enumerate() {
                block.set_word(index, *word);
            }
        }
    }
}
