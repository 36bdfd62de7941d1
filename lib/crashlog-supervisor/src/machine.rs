//! A system for tests: it does nothing but note what was done to it.

use crate::TASK_REGISTERS;
use abi::{FaultInfo, TaskDumpRegion};

use crate::{Kernel, PANIC_MESSAGE_MAX};

/// What was done to the system.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Deed {
    Armed(u32),
    Restarted(usize),
    Posted(usize, u32),
    Reset,
}

#[derive(Clone, Debug, Default)]
pub struct Task {
    pub fault: Option<FaultInfo>,
    pub registers: [u32; TASK_REGISTERS],
    pub message: Vec<u8>,
    /// Address and content of each region.
    pub memory: Vec<(u32, Vec<u8>)>,
}

#[derive(Debug)]
pub struct Machine {
    pub now: u64,
    pub tasks: Vec<Task>,
    pub deeds: Vec<Deed>,
    /// Does the kernel give out registers?
    pub with_registers: bool,
    /// Calls of the kernel that come back; the one after them never does, which here is a panic.
    pub calls: Option<usize>,
    /// Bytes of memory that the kernel gives out at most.
    pub gives: usize,
}

impl Machine {
    pub fn new(tasks: usize) -> Self {
        Self {
            now: 0,
            tasks: vec![Task::default(); tasks],
            deeds: Vec::new(),
            with_registers: true,
            calls: None,
            gives: usize::MAX,
        }
    }

    /// Another call of the kernel.
    fn call(&mut self) {
        if let Some(calls) = &mut self.calls {
            *calls = calls.checked_sub(1).expect("a call that comes back");
        }
    }
}

impl Kernel for Machine {
    fn now(&self) -> u64 {
        self.now
    }

    fn arm_watchdog(&mut self, budget_ms: u32) {
        self.call();
        self.deeds.push(Deed::Armed(budget_ms));
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

    /// Panics where the kernel would fault the supervisor.
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
        self.deeds.push(Deed::Restarted(task));
        self.tasks[task].fault = None;
    }

    fn post(&mut self, task: usize, bits: u32) {
        self.deeds.push(Deed::Posted(task, bits));
    }

    fn reset(&mut self) {
        self.deeds.push(Deed::Reset);
    }
}
