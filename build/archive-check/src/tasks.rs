//! The structures of a task: `Task`, its saved registers and its state
//!
//! Humility decodes them by the names and types in the kernel's debug information.

use super::Topic;
use super::dwarf::{Struct, Type};
use super::kernel::Kernel;
use std::collections::BTreeSet;

/// The variants of an enum with the names of what each holds.
type Variants = [(&'static str, &'static [&'static str])];

const TASK_STATE: &Variants = &[
    ("Healthy", &["__0"]),
    ("Faulted", &["fault", "original_state"]),
];
const SCHED_STATE: &Variants = &[
    ("Stopped", &[]),
    ("Runnable", &[]),
    ("InSend", &["__0"]),
    ("InReply", &["__0"]),
    ("InRecv", &["__0"]),
];
const FAULT_INFO: &Variants = &[
    ("MemoryAccess", &["address", "source"]),
    ("StackOverflow", &["address"]),
    ("BusError", &["address", "source"]),
    ("DivideByZero", &[]),
    ("IllegalText", &[]),
    ("IllegalInstruction", &[]),
    ("InvalidOperation", &["__0"]),
    ("SyscallUsage", &["__0"]),
    ("Panic", &[]),
    ("Injected", &["__0"]),
    ("FromServer", &["__0", "__1"]),
];
const USAGE_ERROR: [&str; 11] = [
    "BadSyscallNumber",
    "InvalidSlice",
    "TaskOutOfRange",
    "IllegalTask",
    "LeaseOutOfRange",
    "OffsetOutOfRange",
    "NoIrq",
    "BadKernelMessage",
    "BadReplyFaultReason",
    "NotSupervisor",
    "ReplyTooBig",
];
const FAULT_SOURCE: [&str; 2] = ["User", "Kernel"];
const REPLY_FAULT: [&str; 6] = [
    "UndefinedOperation",
    "BadMessageSize",
    "BadMessageContents",
    "BadLeases",
    "ReplyBufferTooSmall",
    "AccessViolation",
];

impl Kernel<'_> {
    /// Whether a type is a base type of `size` bytes, or a structure around one.
    fn is_number(&self, ty: usize, size: u64) -> bool {
        matches!(self.debug.ty(self.debug.inside(ty)), Some(Type::Base { size: own, .. }) if *own == size)
    }

    fn is_tuple_of(&self, ty: usize, size: u64) -> bool {
        self.debug
            .structure(ty)
            .is_some_and(|it| it.is_tuple() && it.members.len() == 1)
            && self.is_number(ty, size)
    }

    pub(super) fn task(&mut self) {
        let Some(task) = self.only("Task").cloned() else {
            self.expect(false, Topic::Tasks, "there is no structure `Task`");
            return;
        };
        let member = |name: &str| task.member(name).map(|member| member.ty);
        for (name, what, holds) in [
            (
                "save",
                "a `SavedState`",
                member("save").is_some_and(|ty| {
                    self.debug
                        .structure(ty)
                        .is_some_and(|it| it.name == "SavedState")
                }),
            ),
            (
                "priority",
                "a tuple of one u8",
                member("priority").is_some_and(|ty| self.is_tuple_of(ty, 1)),
            ),
            (
                "generation",
                "a u32 or a tuple of one u8",
                member("generation").is_some_and(|ty| {
                    self.is_tuple_of(ty, 1)
                        || self.debug.structure(ty).is_none() && self.is_number(ty, 4)
                }),
            ),
            (
                "descriptor",
                "a pointer to a `TaskDesc`",
                member("descriptor").is_some_and(|ty| match self.debug.ty(ty) {
                    Some(Type::Pointer { to: Some(to) }) => self
                        .debug
                        .structure(*to)
                        .is_some_and(|it| it.name == "TaskDesc"),
                    _ => false,
                }),
            ),
            (
                "timer",
                "a structure of `deadline` and `to_post`",
                member("timer").is_some_and(|ty| self.is_timer(ty)),
            ),
        ] {
            self.expect(
                holds,
                Topic::Tasks,
                format!("structure `Task`: member `{name}` must be {what}"),
            );
        }
        for member in &task.members {
            let unreadable = self.debug.unreadable(member.ty);
            self.expect(
                unreadable.is_none(),
                Topic::Tasks,
                format!(
                    "structure `Task`: member `{}` cannot be read: {unreadable:?}",
                    member.name
                ),
            );
        }
        match member("state") {
            Some(state) => self.task_state(state),
            None => self.expect(
                false,
                Topic::Tasks,
                "structure `Task` has no member `state`",
            ),
        }
        self.saved_state();
    }

    fn is_timer(&self, ty: usize) -> bool {
        let Some(timer) = self.debug.structure(ty) else {
            return false;
        };
        let deadline = timer.member("deadline").is_some_and(|deadline| {
            let payload = |it: &Struct| {
                let some = it.variants.iter().find(|variant| variant.name == "Some")?;
                self.debug
                    .structure(some.ty)?
                    .member("__0")
                    .map(|member| member.ty)
            };
            self.debug
                .structure(deadline.ty)
                .and_then(payload)
                .is_some_and(|ty| self.is_tuple_of(ty, 8))
        });
        deadline
            && timer
                .member("to_post")
                .is_some_and(|to| self.is_tuple_of(to.ty, 4))
    }

    fn saved_state(&mut self) {
        let Some(saved) = self.only("SavedState").cloned() else {
            self.expect(false, Topic::Tasks, "there is no structure `SavedState`");
            return;
        };
        for name in ["r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "psp"] {
            let holds = saved
                .member(name)
                .is_some_and(|it| self.debug.size(it.ty) == Some(4));
            self.expect(
                holds,
                Topic::Tasks,
                format!("structure `SavedState`: member `{name}` must have 4 bytes"),
            );
        }
        let plain = saved
            .member("r7")
            .is_some_and(|it| matches!(self.debug.ty(it.ty), Some(Type::Base { .. })));
        self.expect(
            plain,
            Topic::Tasks,
            "structure `SavedState`: member `r7` must be a plain u32",
        );
    }

    fn task_state(&mut self, state: usize) {
        self.variants("TaskState", state, TASK_STATE);
        let sched = self.payload(state, "Healthy", "__0");
        let fault = self.payload(state, "Faulted", "fault");
        let original = self.payload(state, "Faulted", "original_state");
        for ty in [sched, original].into_iter().flatten() {
            self.variants("SchedState", ty, SCHED_STATE);
        }
        let Some(fault) = fault else { return };
        self.variants("FaultInfo", fault, FAULT_INFO);
        for (variant, member, name, variants) in [
            ("SyscallUsage", "__0", "UsageError", &USAGE_ERROR[..]),
            ("MemoryAccess", "source", "FaultSource", &FAULT_SOURCE[..]),
            ("BusError", "source", "FaultSource", &FAULT_SOURCE[..]),
            ("FromServer", "__1", "ReplyFaultReason", &REPLY_FAULT[..]),
        ] {
            let ty = self
                .payload(fault, variant, member)
                .and_then(|ty| self.debug.ty(ty));
            let sound = matches!(ty, Some(Type::Enum { variants: own, .. }) if own == variants);
            self.expect(
                sound,
                Topic::Tasks,
                format!("enum `{name}` must have the variants {variants:?}"),
            );
        }
        let ids = sched.map(|sched| {
            [
                self.payload(sched, "InSend", "__0"),
                self.payload(sched, "InReply", "__0"),
                self.payload(fault, "Injected", "__0"),
                self.payload(fault, "FromServer", "__0"),
            ]
        });
        let holds = ids.is_some_and(|ids| {
            ids.iter()
                .all(|id| id.is_some_and(|ty| self.is_number(ty, 2)))
        });
        self.expect(
            holds,
            Topic::Tasks,
            "a task id must be a u16, or a tuple of one",
        );
    }

    /// The type of what a variant holds.
    fn payload(&self, ty: usize, variant: &str, member: &str) -> Option<usize> {
        let it = self.debug.structure(ty)?;
        let variant = it.variants.iter().find(|own| own.name == variant)?;
        Some(self.debug.structure(variant.ty)?.member(member)?.ty)
    }

    fn variants(&mut self, name: &str, ty: usize, expected: &Variants) {
        let own: Vec<(String, Vec<String>)> = self
            .debug
            .structure(ty)
            .map(|it| it.variants.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|variant| {
                let held = self.debug.structure(variant.ty);
                let names = held.map_or(Vec::new(), |held| {
                    held.members
                        .iter()
                        .map(|member| member.name.clone())
                        .collect()
                });
                (variant.name.clone(), names)
            })
            .collect();
        let expected: Vec<(String, Vec<String>)> = expected
            .iter()
            .map(|(name, held)| {
                (
                    name.to_string(),
                    held.iter().map(ToString::to_string).collect(),
                )
            })
            .collect();
        let sorted = |list: &[(String, Vec<String>)]| -> BTreeSet<(String, BTreeSet<String>)> {
            list.iter()
                .map(|(name, held)| (name.clone(), held.iter().cloned().collect()))
                .collect()
        };
        self.expect(
            sorted(&own) == sorted(&expected),
            Topic::Tasks,
            format!("enum `{name}` must have the variants {expected:?}, and has {own:?}"),
        );
    }
}
