//! Systems with something in every part of the retained region.

use block_device::{BLOCK_LEN, Block};
use crashlog_format::{Activity, TaskEntry};
use crashlog_retained::{
    CrashContext, CrashReason, EmergencyFailure, History, Mailbox, Region, SelfTestProgress, Series,
};
use drv_sdhci_sim::{SimCard, Simulator};

use super::{
    HeldSupervisor, MOST_ACCESSES, Memory, Thrown, begin_boot, ledger, region, throw, what_ended,
};
use crate::clients::{append, flush, formatted_card, op};
use crate::config::TASK_INDEX;
use crate::kernel::{Ended, Request, Script, World};
use crate::{panics, start};

/// Where the scratch blocks begin: before them is the control information.
const SCRATCH: usize = Region::len_with(128) / BLOCK_LEN - 128 - 16;

/// Where the dump area begins.
const DUMP: usize = Region::len_with(128) / BLOCK_LEN;

/// Words at the beginning of a block that are damaged whatever is in them.
const FIRST: usize = 8;

/// A system: what is in the region, and its card.
pub struct Scene {
    /// What it is.
    pub name: &'static str,
    /// The region before this boot.
    pub(super) before: Memory,
    /// The region now.
    pub(super) after: Memory,
    card: SimCard,
}

/// The scenes.
///
/// # Panics
/// If the undamaged system does not work.
#[must_use]
pub fn scenes() -> Vec<Scene> {
    vec![
        Scene::make("the crash of the boot before", |stage| {
            stage.crash(2);
            stage.give_up();
            stage.kernel_failure();
            stage.reset();
        }),
        Scene::make("in operation", |stage| {
            stage.reset();
            stage.operate();
            // Four oopses of this boot, and the image of a task.
            for task in 4..8 {
                stage.fault(task);
            }
            stage.test();
        }),
        Scene::make("a crash of this boot", |stage| {
            stage.operate();
            stage.reset();
            stage.crash(3);
        }),
    ]
}

/// What is done to a region.
type Change = fn(&Region<'static>);

/// Scenes with values that pass their checks and say what no system has.
#[must_use]
pub fn strange_scenes() -> Vec<Scene> {
    let strange: [(&str, Change); 11] = [
        ("the log begins anew", |region| {
            region.location().set_next_page(0)
        }),
        ("the log is at its end", |region| {
            region.location().set_next_page(u32::MAX);
        }),
        ("the log is further than the card", |region| {
            region.location().set_next_page(1_000);
        }),
        ("there were many faults of every task", |region| {
            for tasks in [[0, 1, 2, 3, 4, 5, 6, 7], [4, 5, 7, u16::MAX, 8, 9, 10, 11]] {
                region.history().store(&mut History {
                    before: u32::MAX,
                    last: u32::MAX,
                    series: tasks.map(|task| Series {
                        count: u32::MAX,
                        any: u16::MAX,
                        task,
                        signature: 0,
                        first: u32::MAX,
                    }),
                    revision: u32::MAX,
                });
            }
        }),
        ("a crash at the end of time", |region| {
            crash(region, u32::MAX, u64::MAX, |mailbox| mailbox.arm(1_000));
        }),
        ("a crash of no boot", |region| {
            crash(region, 0, 0, |mailbox| {
                mailbox.arm_minimal(1_000, EmergencyFailure::Recorder);
            });
        }),
        ("a crash of the next boot", |region| {
            crash(region, region.boot() + 1, 0, |mailbox| mailbox.arm(1_000));
        }),
        ("a note of no boot", |region| {
            crash(region, 0, 0, Mailbox::note)
        }),
        ("an emergency that has failed without a crash", |region| {
            region.mailbox().conclude(false);
        }),
        ("oopses of no boot and of the last one", |region| {
            for boot in [0, u32::MAX] {
                let writer = region.mailbox().write_oops(5);
                writer
                    .expect("a free place")
                    .finish(&context(boot, u64::MAX));
            }
        }),
        ("a failure of the kernel in the last boot", |region| {
            let writer = region.failure().write().expect("a free place");
            writer.finish(&context(u32::MAX, u64::MAX));
        }),
    ];
    let make = |(name, change): (&'static str, Change)| {
        Scene::make(name, |stage| {
            stage.reset();
            change(&stage.region);
        })
    };
    strange.into_iter().map(make).collect()
}

fn context(boot: u32, time: u64) -> CrashContext {
    let mut context = CrashContext::new(CrashReason::Panic, u16::MAX, "nobody", &[u8::MAX; 16]);
    context.boot = boot;
    context.time = time;
    context.restarts = u32::MAX;
    context
}

/// Leaves a crash in the mailbox, in the state that `then` sets.
fn crash(region: &Region<'static>, boot: u32, time: u64, then: fn(&Mailbox<'static>)) {
    let mailbox = region.mailbox();
    let writer = mailbox.write_crash().expect("room for a crash");
    writer.note(&context(boot, time));
    writer.finish(&context(boot, time));
    then(&mailbox);
}

impl Scene {
    fn make(name: &'static str, act: impl FnOnce(&mut Stage)) -> Self {
        let (region, memory) = region();
        for block in memory.iter() {
            block.fill(0);
        }
        let sim = Simulator::new(formatted_card());
        sim.reach(memory);
        let world = World::install(sim.clone(), Box::new(Writer::new(sim.clone())));
        let before = Memory::of(memory);
        let mut stage = Stage {
            region,
            memory,
            world: &world,
            before,
            supervisor: begin_boot(region),
        };
        stage.operate();
        act(&mut stage);
        let card = sim.card().clone();
        Self {
            name,
            before: stage.before,
            after: Memory::of(memory),
            card,
        }
    }

    /// The card.
    pub(super) fn card(&self) -> SimCard {
        self.card.clone()
    }

    /// The words of the newest ledger on the card.
    #[must_use]
    pub fn ledger(&self) -> Vec<u32> {
        let [_, (_, newest)] = ledger::copies(&self.card);
        ledger::words(&newest)
    }

    /// The words of the region that are worth being damaged, with their values: all control
    /// information, and the beginning of each block with data.
    #[must_use]
    pub fn words(&self) -> Vec<(usize, usize, u32)> {
        let mut words = Vec::new();
        for (block, content) in self.after.0.iter().enumerate() {
            let is_empty = content.iter().all(|word| *word == 0);
            let all = block < SCRATCH || block == DUMP;
            for (word, value) in content.iter().enumerate() {
                let first = word < FIRST && (all || !is_empty);
                if first || all && *value != 0 {
                    words.push((block, word, *value));
                }
            }
        }
        words
    }
}

/// A scene that is being made.
struct Stage<'a> {
    region: Region<'static>,
    memory: &'static [Block],
    world: &'a World,
    before: Memory,
    supervisor: HeldSupervisor,
}

impl Stage<'_> {
    /// The recorder runs: it writes what there is, and leaves some records in the ring.
    fn operate(&mut self) {
        self.world.restart_recorder();
        let ended = what_ended(panics::catch(|| start::run()));
        assert_eq!(ended, Thrown::Up, "the recorder works");
    }

    /// A task faults. If that is a panic, the recorder is called; it does not run.
    fn fault(&mut self, task: usize) {
        let called = panics::catch(|| {
            let mut supervisor = self.supervisor.borrow_mut();
            let _ = supervisor.handle_fault(task, false, 0, 0);
            supervisor.enter_declared_emergency();
        });
        assert!(called.is_none_or(|thrown| thrown.is::<Thrown>()));
    }

    /// A task has a panic after another's oops, and the recorder does not write it.
    fn crash(&mut self, task: usize) {
        self.fault(5);
        self.fault(task);
        let mailbox = self.region.mailbox();
        assert!(mailbox.crash().is_some() && mailbox.oops().is_some());
    }

    /// The recorder says twice that it has failed. The supervisor makes an image of the crashed
    /// task.
    fn give_up(&mut self) {
        for end in [Thrown::Restart, Thrown::Reset] {
            let ended = panics::catch(|| self.supervisor.borrow_mut().emergency_done(TASK_INDEX));
            assert_eq!(what_ended(ended), end);
        }
        assert!(self.region.snapshot().is_waiting(), "there is an image");
    }

    /// The kernel describes its own failure.
    fn kernel_failure(&mut self) {
        let writer = self.region.failure().write();
        let mut writer = writer.expect("there was no failure");
        writer.context.message(b"the kernel's epitaph");
        for task in 0..8 {
            writer.task(&TaskEntry::new(Activity::AwaitingReply, task));
        }
        let mut context = CrashContext::new(CrashReason::Kernel, u16::MAX, "kernel", &[u8::MAX]);
        context.boot = self.region.boot();
        context.time = 7_000;
        writer.finish(&context);
    }

    /// The recorder has tested itself.
    fn test(&mut self) {
        self.region.mailbox().set_self_test(&SelfTestProgress {
            boot: self.region.boot(),
            step: 7,
            milliseconds: 30,
            ..SelfTestProgress::default()
        });
    }

    /// The system is reset.
    fn reset(&mut self) {
        self.world.restart_system();
        self.before = Memory::of(self.memory);
        self.supervisor = begin_boot(self.region);
    }
}

/// A client that appends records until some are on the card and some in the ring.
struct Writer {
    sim: Simulator,
    appended: u32,
}

impl Writer {
    fn new(sim: Simulator) -> Self {
        Self { sim, appended: 0 }
    }
}

impl Script for Writer {
    fn act(&mut self, world: &World, ended: Vec<(usize, Request, Ended)>) {
        const CLIENT: usize = 5;
        self.sim.crash_after(MOST_ACCESSES);
        for (_, request, how) in &ended {
            let fine = matches!(how, Ended::Reply(0, _) | Ended::Dead);
            assert!(fine, "{request:?} has ended with {how:?}");
            if request.operation == op::APPEND && self.appended.is_multiple_of(8) {
                throw(Thrown::Up);
            }
        }
        if world.is_idle(CLIENT) {
            self.appended += 1;
            // Every eighth time all of them are written first.
            world.send(
                CLIENT,
                match self.appended % 8 {
                    4 => flush(),
                    _ => append(vec![self.appended as u8; 200]),
                },
            );
        }
        world.sleep_us(1_000);
    }
}
