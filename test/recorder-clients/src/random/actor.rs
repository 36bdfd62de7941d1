//! Carries the steps of a case out, and brings the case to its end.

use drv_sdhci_sim::Simulator;

use super::oracle::Oracle;
use super::steps::{Action, Step};
use super::{DYING, FIRST_WELL_BEHAVED, MOST_ACCESSES, Thrown, throw};
use crate::NUM_TASKS;
use crate::clients::{FIRST_CLIENT, Supervisor, append, op, request};
use crate::kernel::{Ended, Request, Script, World};

/// Most RECVs of the end of a case.
const MOST_AT_END: u32 = 20_000;

/// Longest time that passes at once, in microseconds.
const LONGEST_US: u64 = 1_000_000;

/// Most faults of the card that are planned at a time.
const MOST_PLANS: usize = 8;

/// How far a case has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// There are steps left.
    Steps,
    /// The calls in flight end.
    Calls,
    /// A well-behaved client appends a last record; if the ring is full, after `flush`.
    Append,
    /// It waits until everything is durable.
    Flush,
}

/// What happens to a client in the middle of the recorder's work.
#[derive(Clone, Copy, Debug)]
struct RestartAtCall {
    task: usize,
    times: u32,
    calls: u32,
}

/// The clients of a case, and what else happens in it.
pub struct RandomClients {
    sim: Simulator,
    supervisor: Supervisor,
    steps: std::vec::IntoIter<Step>,
    oracle: Oracle,
    restart: Option<RestartAtCall>,
    /// System calls until the recorder is restarted.
    die_in: Option<u32>,
    progress: Progress,
    /// RECVs until the next step.
    work: u32,
    /// RECVs since the steps have ended.
    at_end: u32,
}

impl RandomClients {
    /// Clients that do `steps`.
    pub fn new(sim: Simulator, supervisor: Supervisor, steps: Vec<Step>, oracle: Oracle) -> Self {
        Self {
            sim,
            supervisor,
            steps: steps.into_iter(),
            oracle,
            restart: None,
            die_in: None,
            progress: Progress::Steps,
            work: 0,
            at_end: 0,
        }
    }

    fn take(&mut self, world: &World, action: Action) {
        match action {
            Action::Send(task, request) => {
                if world.is_faulted(task) {
                    world.restart(task, 1);
                }
                if world.is_idle(task) {
                    self.send(world, task, request);
                }
            }
            Action::Restart(task, times) => self.restart(world, task, times),
            Action::RestartAtCall(task, times, calls) => {
                self.restart = Some(RestartAtCall { task, times, calls });
            }
            Action::Fault(task) => self.oracle.torn(task, world.fault(task)),
            Action::Post(bits) => world.post(bits),
            Action::Oops(task, place) => {
                let time = world.now();
                self.oracle.oops(time);
                let place = 0x4000 + 4 * place;
                self.supervisor.report_oops(world, task as u16, time, place);
            }
            Action::Pass(us) => self.sim.pass_us(us),
            Action::Work(recvs) => self.work = recvs,
            Action::TakeOut => self.oracle.slot.take_out(),
            Action::PutIn => self.oracle.slot.put_in(),
            Action::PutInOther => self.oracle.slot.put_in_other(),
            Action::CardFault(plan) => {
                if self.sim.plans().len() == MOST_PLANS {
                    self.sim.no_faults();
                }
                self.sim.fault(plan);
            }
            Action::CardWorks => self.sim.no_faults(),
            Action::RestartRecorder => self.end_run(Thrown::Restart),
            Action::RestartRecorderAtCall(calls) => self.die_in = Some(calls),
            Action::RestartRecorderAtAccess(accesses) => {
                self.sim.crash_after(accesses);
                DYING.set(true);
            }
            Action::Reset => self.end_run(Thrown::Reset),
        }
    }

    fn send(&mut self, world: &World, task: usize, request: Request) {
        self.oracle.sent(task, world.now());
        world.send(task, request);
    }

    fn restart(&mut self, world: &World, task: usize, times: u32) {
        let request = world.restart(task, times);
        self.oracle.torn(task, request);
    }

    /// Ends this run of the recorder.
    fn end_run(&mut self, how: Thrown) -> ! {
        self.die_in = None;
        self.work = 0;
        throw(how)
    }

    /// One step of the end of the case.
    fn finish(&mut self, world: &World, ended: &[(usize, Request, Ended)]) {
        const LAST: usize = FIRST_WELL_BEHAVED;
        let mine = ended.iter().find(|(task, ..)| *task == LAST);
        self.at_end += 1;
        assert!(
            self.at_end <= MOST_AT_END,
            "a call that never ends, in {:?}: tasks {:?} wait",
            self.progress,
            (0..NUM_TASKS)
                .filter(|task| world.is_waiting(*task))
                .collect::<Vec<_>>()
        );
        match self.progress {
            Progress::Steps => {
                self.sim.no_faults();
                self.restart = None;
                self.oracle.slot.take_out();
                self.oracle.slot.put_in();
                self.progress = Progress::Calls;
            }
            Progress::Calls => {
                let done = |task| world.is_idle(task) || world.is_faulted(task);
                if (FIRST_CLIENT..NUM_TASKS).all(done) {
                    self.progress = Progress::Append;
                    self.send(world, LAST, append(b"the last".to_vec()));
                    // A recorder that has found a card without a log looks for no other.
                    self.end_run(Thrown::Restart);
                }
            }
            Progress::Append => match mine {
                Some((_, last, Ended::Reply(code, _))) if last.operation == op::APPEND => {
                    if *code == 0 {
                        self.progress = Progress::Flush;
                    }
                    self.send(world, LAST, request(op::FLUSH, &[], vec![]));
                    return;
                }
                Some((_, _, Ended::Reply(0, _) | Ended::Dead)) => {
                    self.send(world, LAST, append(b"the last".to_vec()));
                    return;
                }
                Some((_, last, how)) => panic!("{last:?} has ended with {how:?}"),
                None => {}
            },
            Progress::Flush => match mine {
                Some((_, _, Ended::Reply(0, _))) => {
                    self.oracle.check_end();
                    throw(Thrown::End)
                }
                Some((_, last, how)) => panic!("{last:?} has ended with {how:?}"),
                None => {}
            },
        }
        world.sleep_us(LONGEST_US);
    }
}

impl Script for RandomClients {
    fn act(&mut self, world: &World, ended: Vec<(usize, Request, Ended)>) {
        self.oracle.look();
        for (task, request, how) in &ended {
            self.oracle.ended(world, *task, request, how);
        }
        if ended.iter().any(|(.., how)| *how == Ended::Dead) {
            self.oracle.check_some_restarts();
        }
        if !DYING.get() {
            self.sim.crash_after(MOST_ACCESSES);
        }
        if self.work > 0 {
            self.work -= 1;
            return world.sleep_us(LONGEST_US);
        }
        loop {
            let Some(step) = self.steps.next() else {
                return self.finish(world, &ended);
            };
            self.take(world, step.action);
            if !step.at_once || self.work > 0 {
                return;
            }
        }
    }

    fn before_call(&mut self, world: &World) {
        if let Some(restart) = &mut self.restart {
            match restart.calls.checked_sub(1) {
                Some(calls) => restart.calls = calls,
                None => {
                    let RestartAtCall { task, times, .. } = *restart;
                    self.restart = None;
                    self.restart(world, task, times);
                }
            }
        }
        match self.die_in.map(|calls| calls.checked_sub(1)) {
            Some(None) => self.end_run(Thrown::Restart),
            Some(left) => self.die_in = left,
            None => {}
        }
    }
}
