//! A [`Kernel`] for tests: it keeps a list of what was done to the system.

use crate::{Kernel, PANIC_MESSAGE_MAX, TASK_REGISTERS};
use abi::{FaultInfo, TaskDumpRegion};

/// Something that was done to the system.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Effect {
    Armed(u32),
    Restarted(usize),
    Posted(usize, u32),
    Reset,
}

#[derive(Clone, Debug, Default)]
pub struct TestTask {
    pub fault: Option<FaultInfo>,
    pub registers: [u32; TASK_REGISTERS],
    pub message: Vec<u8>,
    /// Address and content of each region.
    pub memory: Vec<(u32, Vec<u8>)>,
}

#[derive(Debug)]
pub struct TestKernel {
    pub image_id: u64,
    pub now: u64,
    pub tasks: Vec<TestTask>,
    pub effects: Vec<Effect>,
    /// Does the kernel give out registers?
    pub with_registers: bool,
    /// How many calls of the kernel return; the next one panics, in place of one that never
    /// returns.
    pub calls: Option<usize>,
    /// How many bytes of memory the kernel gives out at a time.
    pub gives: usize,
}

impl TestKernel {
    pub fn new(tasks: usize) -> Self {
        Self {
            image_id: 0,
            now: 0,
            tasks: vec![TestTask::default(); tasks],
            effects: Vec::new(),
            with_registers: true,
            calls: None,
            gives: usize::MAX,
        }
    }

    /// Counts a call of the kernel.
    fn call(&mut self) {
        if let Some(calls) = &mut self.calls {
            *calls = calls.checked_sub(1).expect("a call that returns");
        }
    }
}

impl Kernel for TestKernel {
    fn image_id(&self) -> u64 {
        self.image_id
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn arm_watchdog(&mut self, budget_ms: u32) {
        self.call();
        self.effects.push(Effect::Armed(budget_ms));
    }

    fn fault(&mut self, task: usize) -> Option<FaultInfo> {
        self.call();
        self.tasks[task].fault
    }

    fn registers(&mut self, task: usize) -> Option<[u32; TASK_REGISTERS]> {
        self.call();
        self.with_registers.then_some(self.tasks[task].registers)
    }

    fn panic_message(&mut self, task: usize, message: &mut [u8; PANIC_MESSAGE_MAX]) -> usize {
        self.call();
        let text = &self.tasks[task].message;
        message[..text.len()].copy_from_slice(text);
        text.len()
    }

    fn memory(&mut self, task: usize, region: usize) -> Option<TaskDumpRegion> {
        self.call();
        let (base, content) = self.tasks[task].memory.get(region)?;
        Some(TaskDumpRegion {
            base: *base,
            size: content.len() as u32,
        })
    }

    /// Panics where the kernel would fault the supervisor: at an address outside of the regions.
    fn read(&mut self, task: usize, address: u32, bytes: &mut [u8]) -> usize {
        self.call();
        let (base, content) = self.tasks[task]
            .memory
            .iter()
            .find(|(base, content)| (*base..*base + content.len() as u32).contains(&address))
            .expect("an address in a region");
        let offset = (address - base) as usize;
        let length = bytes.len().min(self.gives);
        bytes[..length].copy_from_slice(&content[offset..offset + length]);
        length
    }

    fn restart(&mut self, task: usize) {
        self.call();
        self.effects.push(Effect::Restarted(task));
        self.tasks[task].fault = None;
    }

    fn post(&mut self, task: usize, bits: u32) {
        self.effects.push(Effect::Posted(task, bits));
    }

    fn reset(&mut self) {
        self.effects.push(Effect::Reset);
    }
}
