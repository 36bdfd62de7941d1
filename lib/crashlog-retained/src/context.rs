//! The context of a crash: everything about it that has to be known to write its record.

use crate::words::{check, load, publish, store, words};
use block_device::{BLOCK_LEN, Block};
use core::mem::offset_of;
use core::sync::atomic::AtomicU32;
use crashlog_format::crash::Name;
use crashlog_format::{CrashFault, CrashReason, Crc32c};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Marks a context as complete: `CTX!`.
const COMPLETE: u32 = u32::from_le_bytes(*b"CTX!");

/// Marks one of which only the note is there yet: `CTXN`.
const NOTED: u32 = u32::from_le_bytes(*b"CTXN");

/// Who crashed, how, where and when. Message and stack go beside it, see [`ContextWriter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct CrashContext {
    /// When, in ticks (milliseconds) since the start of the boot.
    pub time: u64,
    /// The boot, as [`crate::Region::boot`] counts.
    pub boot: u32,
    /// How often the task had been restarted before.
    pub restarts: u32,
    /// r0 to r12, sp, lr, pc, psr of the task.
    pub registers: [u32; 17],
    /// Its name.
    pub name: Name,
    fault: [u8; CrashFault::MAX_LEN],
    /// Its index.
    pub task: u16,
    reason: u8,
    flags: u8,
    reserved: [u8; 4],
    reserved_word: u32,
}

/// Flag of a context: the stack is an excerpt, of which no more bytes were wanted.
const STACK_EXCERPT: u8 = 1 << 0;

/// What the context says about message and stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Extent {
    pub length: u32,
    pub original: u32,
    pub address: u32,
    pub crc: u32,
}

/// As kept in the region: the context, then the extents of message and stack.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Stored {
    context: CrashContext,
    message: Extent,
    stack: Extent,
}

/// Word of the block at which it begins.
const STORED: usize = 2;
const STORED_WORDS: usize = size_of::<Stored>() / 4;

/// Words of the note: its check, and the context. Apart from the words above, which are written while it counts.
const NOTE_CHECK: usize = 48;
const NOTE: usize = NOTE_CHECK + 1;
const NOTE_WORDS: usize = size_of::<CrashContext>() / 4;

const _: () = assert!(STORED + STORED_WORDS <= NOTE_CHECK && NOTE + NOTE_WORDS <= 120);

impl CrashContext {
    /// The context of a crash of task `task`; `fault` is `FaultInfo` in its wire encoding, cut to 16 bytes. The other
    /// fields are zero.
    #[must_use]
    pub fn new(reason: CrashReason, task: u16, name: &str, fault: &[u8]) -> Self {
        let mut context = Self::new_zeroed();
        context.reason = reason as u8;
        context.task = task;
        context.name = Name::new(name);
        context.set_fault(fault);
        context
    }

    /// Says what the fault was: `FaultInfo` in its wire encoding, cut to 16 bytes.
    pub fn set_fault(&mut self, fault: &[u8]) {
        for (to, from) in self.fault.iter_mut().zip(fault) {
            *to = *from;
        }
    }

    /// What the crash does to the system.
    #[must_use]
    pub fn reason(&self) -> CrashReason {
        CrashReason::try_from(self.reason).unwrap_or(CrashReason::Kernel)
    }

    /// `FaultInfo` in its wire encoding, then zeros.
    #[must_use]
    pub const fn fault(&self) -> &[u8; CrashFault::MAX_LEN] {
        &self.fault
    }
}

/// Blocks of one context.
pub(crate) const CONTEXT_BLOCKS: usize = 4;

/// The blocks of one context.
///
/// The first block is the context. The others are laid out as the record on the card: its header block (filled in by
/// whoever writes it), the message, the stack. They are written from here as they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContextSlot<'a> {
    control: &'a Block,
    record: &'a [Block; 3],
}

impl<'a> ContextSlot<'a> {
    pub(crate) const fn new(blocks: &'a [Block; CONTEXT_BLOCKS]) -> Self {
        let [control, record @ ..] = blocks;
        Self { control, record }
    }

    fn state(&self) -> &'a AtomicU32 {
        let [state, ..] = self.control.words();
        state
    }

    fn stored(&self) -> &'a [AtomicU32] {
        words(self.control, STORED, STORED_WORDS)
    }

    fn note(&self) -> &'a [AtomicU32] {
        words(self.control, NOTE, NOTE_WORDS)
    }

    fn check_word(&self) -> &'a AtomicU32 {
        let [_, check, ..] = self.control.words();
        check
    }

    /// Is something here that was completed, or noted?
    pub(crate) fn is_complete(&self) -> bool {
        matches!(load(self.state()), COMPLETE | NOTED)
    }

    pub(crate) fn clear(&self) {
        publish(self.state(), 0);
    }

    pub(crate) fn writer(self) -> ContextWriter<'a> {
        self.clear();
        let [_, message, stack] = self.record;
        message.fill(0);
        stack.fill(0);
        ContextWriter {
            slot: self,
            message: Extent::EMPTY,
            stack: Extent::EMPTY,
            flags: 0,
        }
    }

    /// The context, if it is complete, or noted, and its check holds.
    pub(crate) fn read(self) -> Option<StoredContext<'a>> {
        match load(self.state()) {
            COMPLETE if load(self.check_word()) == check(COMPLETE, self.stored()) => {}
            NOTED if self.control.word(NOTE_CHECK) == check(NOTED, self.note()) => {
                return Some(self.read_note());
            }
            _ => return None,
        }
        let mut found = StoredContext {
            slot: self,
            context: CrashContext::new_zeroed(),
            message: Extent::EMPTY,
            stack: Extent::EMPTY,
        };
        let at = |offset: usize| offset.saturating_add(STORED * 4);
        self.control.copy_to(
            at(offset_of!(Stored, context)),
            found.context.as_mut_bytes(),
        );
        self.control.copy_to(
            at(offset_of!(Stored, message)),
            found.message.as_mut_bytes(),
        );
        self.control
            .copy_to(at(offset_of!(Stored, stack)), found.stack.as_mut_bytes());
        Some(found)
    }

    // Rare, and not to weigh on the emergency path.
    #[inline(never)]
    fn read_note(self) -> StoredContext<'a> {
        let mut context = CrashContext::new_zeroed();
        self.control.copy_to(NOTE * 4, context.as_mut_bytes());
        StoredContext {
            slot: self,
            context,
            message: Extent::EMPTY,
            stack: Extent::EMPTY,
        }
    }
}

impl Extent {
    const EMPTY: Self = Self {
        length: 0,
        original: 0,
        address: 0,
        crc: 0,
    };

    /// Appends to what is in `block`, as far as it fits.
    fn append(&mut self, block: &Block, bytes: &[u8]) {
        let used = self.length as usize;
        let fits = bytes.get(..BLOCK_LEN.saturating_sub(used)).unwrap_or(bytes);
        block.copy_from(used, fits);
        self.crc = Crc32c::resume(self.crc).bytes(fits).value();
        self.length = self.length.saturating_add(fits.len() as u32);
        self.original = self.original.max(self.length);
    }
}

/// Writes a context, piece by piece, so that the writer needs no large buffer.
#[derive(Debug)]
#[must_use = "the context counts when `finish` was called"]
pub struct ContextWriter<'a> {
    slot: ContextSlot<'a>,
    message: Extent,
    stack: Extent,
    flags: u8,
}

impl ContextWriter<'_> {
    /// Most bytes of a message, and of a stack excerpt.
    pub const MAX_LEN: usize = BLOCK_LEN;

    /// Appends to the message. What goes beyond [`Self::MAX_LEN`] is cut and the message is marked so.
    pub fn message(&mut self, bytes: &[u8]) {
        let [_, block, _] = self.slot.record;
        let original = self.message.original.saturating_add(bytes.len() as u32);
        self.message.append(block, bytes);
        self.message.original = original;
    }

    /// Checksum of the message so far; 0 if there is none.
    #[must_use]
    pub const fn message_sum(&self) -> u32 {
        if self.message.length == 0 {
            0
        } else {
            self.message.crc
        }
    }

    /// Checksum that a message has.
    #[must_use]
    pub fn sum(message: &[u8]) -> u32 {
        Crc32c::new().bytes(message).value()
    }

    /// Says where the stack excerpt begins, and how many bytes there are from there to the top of the stack.
    pub fn stack_at(&mut self, address: u32, original: u32) {
        self.stack.address = address;
        self.stack.original = original;
    }

    /// Says that no more of the stack is wanted than was appended: what is left out is not missing.
    pub fn stack_is_excerpt(&mut self) {
        self.flags |= STACK_EXCERPT;
    }

    /// Appends to the stack excerpt. What goes beyond [`Self::MAX_LEN`] is cut.
    pub fn stack(&mut self, bytes: &[u8]) {
        let [_, _, block] = self.slot.record;
        self.stack.append(block, bytes);
    }

    /// Bytes of stack that still fit.
    #[must_use]
    pub const fn stack_room(&self) -> usize {
        Self::MAX_LEN.saturating_sub(self.stack.length as usize)
    }

    /// Keeps what is known up to now: if the writer is never finished, this is the context, without message and stack.
    pub fn note(&self, context: &CrashContext) {
        let control = self.slot.control;
        control.copy_from(NOTE * 4, context.as_bytes());
        control.set_word(NOTE_CHECK, check(NOTED, self.slot.note()));
        publish(self.slot.state(), NOTED);
    }

    /// Completes the context.
    pub fn finish(self, context: &CrashContext) {
        let stored = Stored {
            context: CrashContext {
                flags: self.flags,
                ..*context
            },
            message: self.message,
            stack: self.stack,
        };
        self.slot.control.copy_from(STORED * 4, stored.as_bytes());
        store(self.slot.check_word(), check(COMPLETE, self.slot.stored()));
        publish(self.slot.state(), COMPLETE);
    }
}

/// A context whose check holds.
#[derive(Clone, Copy, Debug)]
pub struct StoredContext<'a> {
    slot: ContextSlot<'a>,
    /// The context.
    pub context: CrashContext,
    message: Extent,
    stack: Extent,
}

/// Message or stack of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Bytes that are there, at most 512.
    pub length: u32,
    /// Bytes that there were.
    pub original: u32,
    /// Where they were in memory; 0 for a message.
    pub address: u32,
    /// CRC-32C of the bytes that are there, as their writer computed it.
    pub crc: u32,
    /// Were no more bytes wanted?
    pub is_excerpt: bool,
}

impl<'a> StoredContext<'a> {
    /// The message, in the second of [`Self::record_blocks`].
    #[must_use]
    pub fn message(&self) -> Excerpt {
        self.message.excerpt()
    }

    /// The stack, in the third of [`Self::record_blocks`].
    #[must_use]
    pub fn stack(&self) -> Excerpt {
        Excerpt {
            is_excerpt: self.context.flags & STACK_EXCERPT != 0,
            ..self.stack.excerpt()
        }
    }

    /// Three blocks in the order of the card: the header, to be filled in; the message; the stack.
    #[must_use]
    pub const fn record_blocks(&self) -> &'a [Block; 3] {
        self.slot.record
    }
}

impl Extent {
    fn excerpt(&self) -> Excerpt {
        Excerpt {
            length: self.length.min(BLOCK_LEN as u32),
            original: self.original,
            address: self.address,
            crc: self.crc,
            is_excerpt: false,
        }
    }
}
