//! The context of a crash: everything that has to be known to write it to the card.
//!
//! A context becomes valid twice. [`ContextWriter::note`] makes it valid with what is known at
//! first, without message and stack; [`ContextWriter::finish`] with everything. Both write the
//! content, then its check, then the state word. A writer that stops at any store in between leaves
//! the context as it was before: invalid, or noted.

use crate::words::{check, load, publish, store, words};
use block_device::{BLOCK_LEN, Block};
use core::mem::offset_of;
use core::sync::atomic::AtomicU32;
use crashlog_format::crash::Name;
use crashlog_format::{CrashFault, CrashReason, Crc32c};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// State of a complete context: `CTX!`.
const COMPLETE: u32 = u32::from_le_bytes(*b"CTX!");

/// State of a context of which only the note is valid: `CTXN`.
const NOTED: u32 = u32::from_le_bytes(*b"CTXN");

/// Which task crashed, how, where and when. Message and stack are kept beside it, see
/// [`ContextWriter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct CrashContext {
    /// When it crashed, in ticks (milliseconds) since the start of the boot.
    pub time: u64,
    /// The boot, as [`crate::Region::boot`] counts.
    pub boot: u32,
    /// How often the task had been restarted before.
    pub restarts: u32,
    /// r0 to r12, sp, lr, pc, psr of the task at the crash.
    pub registers: [u32; 17],
    /// Name of the task.
    pub name: Name,
    fault: [u8; CrashFault::MAX_LEN],
    /// Index of the task.
    pub task: u16,
    reason: u8,
    flags: u8,
    /// The image that crashed: the `HUBRIS_IMAGE_ID` of its kernel; 0 if it is not known. After an
    /// update another image writes the crash.
    pub image_id: u64,
}

// Builds that did not know the image left zeros in its place, under the same check. So the region
// that such a build leaves is read rightly, as one whose image is not known, and the layout has
// kept its version: with a new one, a crash that is not on the card yet would be lost in an update.
const _: () =
    assert!(offset_of!(CrashContext, image_id) == 128 && size_of::<CrashContext>() == 136);

/// Flag of a context: no more bytes of the stack were wanted than are kept, so none are missing.
const STACK_EXCERPT: u8 = 1 << 0;

/// Message or stack, as the context describes it. The address of a message is the sum of its text,
/// as [`ContextWriter::text`] sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct StoredExcerpt {
    pub length: u32,
    pub original: u32,
    pub address: u32,
    pub crc: u32,
}

/// The layout in the region: the context, then the descriptions of message and stack.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct ContextLayout {
    context: CrashContext,
    message: StoredExcerpt,
    stack: StoredExcerpt,
}

/// First word of [`ContextLayout`] in its block, behind state and check.
const LAYOUT: usize = 2;
const LAYOUT_WORDS: usize = size_of::<ContextLayout>() / 4;

/// Words of the note: its check, and the context. They do not overlap the words above, which are
/// written while the note is the valid one.
const NOTE_CHECK: usize = 48;
const NOTE: usize = NOTE_CHECK + 1;
const NOTE_WORDS: usize = size_of::<CrashContext>() / 4;

const _: () = assert!(LAYOUT + LAYOUT_WORDS <= NOTE_CHECK && NOTE + NOTE_WORDS <= 120);

impl CrashContext {
    /// The context of a crash of task `task`. `fault` is `FaultInfo` in its wire encoding, cut to
    /// 16 bytes. All other fields are zero.
    #[must_use]
    pub fn new(reason: CrashReason, task: u16, name: &str, fault: &[u8]) -> Self {
        let mut context = Self::new_zeroed();
        context.reason = reason as u8;
        context.task = task;
        context.name = Name::new(name);
        context.set_fault(fault);
        context
    }

    /// Sets the fault: `FaultInfo` in its wire encoding, cut to 16 bytes. Bytes behind it stay as
    /// they are.
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

/// Whose crash a context is, and when it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContextSummary {
    /// Index of the task.
    pub task: u16,
    pub boot: u32,
    pub time: u64,
}

// The task is the lower half of a word.
const _: () = assert!(offset_of!(CrashContext, task).is_multiple_of(4));

/// How many blocks one context has.
pub(crate) const CONTEXT_BLOCKS: usize = 4;

/// The blocks of one context.
///
/// The first block is the context. The others have the layout of the crash on the card: its header
/// block (filled in by the recorder), the message, the stack. They are written to the card from
/// here, without a copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContextSlot<'a> {
    control: &'a Block,
    crash: &'a [Block; 3],
}

impl<'a> ContextSlot<'a> {
    pub(crate) const fn new(blocks: &'a [Block; CONTEXT_BLOCKS]) -> Self {
        let [control, crash @ ..] = blocks;
        Self { control, crash }
    }

    fn state(&self) -> &'a AtomicU32 {
        let [state, ..] = self.control.words();
        state
    }

    fn layout(&self) -> &'a [AtomicU32] {
        words(self.control, LAYOUT, LAYOUT_WORDS)
    }

    fn note(&self) -> &'a [AtomicU32] {
        words(self.control, NOTE, NOTE_WORDS)
    }

    fn check_word(&self) -> &'a AtomicU32 {
        let [_, check, ..] = self.control.words();
        check
    }

    /// Was the context completed or noted? Its check may still fail.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(load(self.state()), COMPLETE | NOTED)
    }

    /// Was the context noted, and not completed?
    pub(crate) fn is_noted(&self) -> bool {
        load(self.state()) == NOTED
    }

    /// Whose crash the context is, and when it was, without a check.
    pub(crate) fn summary(&self) -> ContextSummary {
        let context = match load(self.state()) {
            NOTED => NOTE,
            _ => LAYOUT,
        };
        let word = |offset: usize| self.control.word(context.saturating_add(offset / 4));
        ContextSummary {
            task: word(offset_of!(CrashContext, task)) as u16,
            boot: word(offset_of!(CrashContext, boot)),
            time: u64::from(word(offset_of!(CrashContext, time)))
                | u64::from(word(offset_of!(CrashContext, time) + 4)) << 32,
        }
    }

    pub(crate) fn clear(&self) {
        publish(self.state(), 0);
    }

    pub(crate) fn writer(self) -> ContextWriter<'a> {
        self.clear();
        let [_, message, stack] = self.crash;
        message.fill(0);
        stack.fill(0);
        ContextWriter {
            slot: self,
            message: StoredExcerpt::EMPTY,
            stack: StoredExcerpt::EMPTY,
            flags: 0,
        }
    }

    /// The context, if it was completed or noted and its check holds.
    pub(crate) fn read(self) -> Option<StoredContext<'a>> {
        match load(self.state()) {
            COMPLETE if load(self.check_word()) == check(COMPLETE, self.layout()) => {}
            NOTED if self.control.word(NOTE_CHECK) == check(NOTED, self.note()) => {
                return Some(self.read_note());
            }
            _ => return None,
        }
        let mut found = StoredContext {
            slot: self,
            context: CrashContext::new_zeroed(),
            message: StoredExcerpt::EMPTY,
            stack: StoredExcerpt::EMPTY,
        };
        let at = |offset: usize| offset.saturating_add(LAYOUT * 4);
        self.control.copy_to(
            at(offset_of!(ContextLayout, context)),
            found.context.as_mut_bytes(),
        );
        self.control.copy_to(
            at(offset_of!(ContextLayout, message)),
            found.message.as_mut_bytes(),
        );
        self.control.copy_to(
            at(offset_of!(ContextLayout, stack)),
            found.stack.as_mut_bytes(),
        );
        Some(found)
    }

    // Not inlined: seldom called, and its frame would be on the stack of the emergency path.
    #[inline(never)]
    fn read_note(self) -> StoredContext<'a> {
        let mut context = CrashContext::new_zeroed();
        self.control.copy_to(NOTE * 4, context.as_mut_bytes());
        StoredContext {
            slot: self,
            context,
            message: StoredExcerpt::EMPTY,
            stack: StoredExcerpt::EMPTY,
        }
    }
}

impl StoredExcerpt {
    const EMPTY: Self = Self {
        length: 0,
        original: 0,
        address: 0,
        crc: 0,
    };

    /// Appends `bytes` to what is in `block`, as many as fit.
    fn append(&mut self, block: &Block, bytes: &[u8]) {
        let used = self.length as usize;
        let fits = bytes.get(..BLOCK_LEN.saturating_sub(used)).unwrap_or(bytes);
        block.copy_from(used, fits);
        self.crc = Crc32c::resume(self.crc).bytes(fits).value();
        self.length = self.length.saturating_add(fits.len() as u32);
        self.original = self.original.max(self.length);
    }
}

/// Writes a context, piece by piece, so that its user needs no large buffer.
///
/// What was in the slot before is invalid as soon as there is a writer. If the writer is dropped
/// without [`finish`](Self::finish), what was noted is the context; if nothing was, there is none.
#[derive(Debug)]
#[must_use = "the context is valid only after `finish`"]
pub struct ContextWriter<'a> {
    slot: ContextSlot<'a>,
    message: StoredExcerpt,
    stack: StoredExcerpt,
    flags: u8,
}

impl ContextWriter<'_> {
    /// Most bytes of a message, and of a stack excerpt.
    pub const MAX_LEN: usize = BLOCK_LEN;

    /// Appends to the message. Bytes beyond [`Self::MAX_LEN`] are left out; the length that the
    /// message had is kept.
    pub fn message(&mut self, bytes: &[u8]) {
        let [_, block, _] = self.slot.crash;
        let original = self.message.original.saturating_add(bytes.len() as u32);
        self.message.append(block, bytes);
        self.message.original = original;
    }

    /// Keeps the sum of the message's text, [`crashlog_format::crash::text_sum`], for the
    /// signature: who describes a crash computes it, once.
    pub fn text(&mut self, sum: u32) {
        self.message.address = sum;
    }

    /// Sets the address at which the stack excerpt begins, and how many bytes there are from there
    /// to the top of the stack.
    pub fn stack_at(&mut self, address: u32, original: u32) {
        self.stack.address = address;
        self.stack.original = original;
    }

    /// Marks the stack as an excerpt: no more bytes are wanted than were appended, so what is left
    /// out is not missing.
    pub fn stack_is_excerpt(&mut self) {
        self.flags |= STACK_EXCERPT;
    }

    /// Appends to the stack excerpt. Bytes beyond [`Self::MAX_LEN`] are left out.
    pub fn stack(&mut self, bytes: &[u8]) {
        let [_, _, block] = self.slot.crash;
        self.stack.append(block, bytes);
    }

    /// How many bytes of stack still fit.
    #[must_use]
    pub const fn stack_room(&self) -> usize {
        Self::MAX_LEN.saturating_sub(self.stack.length as usize)
    }

    /// Makes `context`, without message and stack, the valid one until [`finish`](Self::finish): it
    /// stays if the writer is never finished.
    pub fn note(&self, context: &CrashContext) {
        let control = self.slot.control;
        control.copy_from(NOTE * 4, context.as_bytes());
        control.set_word(NOTE_CHECK, check(NOTED, self.slot.note()));
        publish(self.slot.state(), NOTED);
    }

    /// Makes `context` with message and stack the valid one.
    pub fn finish(self, context: &CrashContext) {
        let stored = ContextLayout {
            context: CrashContext {
                flags: self.flags,
                ..*context
            },
            message: self.message,
            stack: self.stack,
        };
        self.slot.control.copy_from(LAYOUT * 4, stored.as_bytes());
        store(self.slot.check_word(), check(COMPLETE, self.slot.layout()));
        publish(self.slot.state(), COMPLETE);
    }
}

/// A context whose check holds.
#[derive(Clone, Copy, Debug)]
pub struct StoredContext<'a> {
    slot: ContextSlot<'a>,
    /// The context.
    pub context: CrashContext,
    message: StoredExcerpt,
    stack: StoredExcerpt,
}

/// Message or stack of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// How many bytes are kept, at most 512.
    pub length: u32,
    /// How many bytes there were.
    pub original: u32,
    /// The address that the first one had in memory; 0 for a message.
    pub address: u32,
    /// CRC-32C of the bytes that are kept, as their writer computed it.
    pub crc: u32,
    /// Were no more bytes wanted than are kept?
    pub is_excerpt: bool,
}

impl<'a> StoredContext<'a> {
    /// The message, in the second of [`Self::crash_blocks`].
    #[must_use]
    pub fn message(&self) -> Excerpt {
        Excerpt {
            address: 0,
            ..self.message.excerpt()
        }
    }

    /// The sum of the message's text, as [`ContextWriter::text`] has kept it; 0 if there is none.
    #[must_use]
    pub const fn text(&self) -> u32 {
        self.message.address
    }

    /// The stack, in the third of [`Self::crash_blocks`].
    #[must_use]
    pub fn stack(&self) -> Excerpt {
        Excerpt {
            is_excerpt: self.context.flags & STACK_EXCERPT != 0,
            ..self.stack.excerpt()
        }
    }

    /// Three blocks in the order of the card: the header, which the recorder fills in; the message;
    /// the stack.
    #[must_use]
    pub const fn crash_blocks(&self) -> &'a [Block; 3] {
        self.slot.crash
    }
}

impl StoredExcerpt {
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
