//! The memory that is saved with a crash, and when.

use crashlog_retained::{KERNEL_OWNER, SnapshotArea, SnapshotKind};

use super::*;
use crate::testing::{DEVICE, KERNEL_MEMORY};
use crate::{CrashRegions, RegionRefusal};
use abi::{Generation, TaskId};

/// Owner, address, length and whether it is saved, of each extent of the image that waits.
fn extents(region: &Region<'_>) -> Vec<(u16, u32, u32, bool)> {
    let area = region.snapshot();
    let header = area.header().expect("an image");
    let mut bytes = vec![0; area.image(&header).len() * 512];
    for (block, bytes) in area.image(&header).iter().zip(bytes.chunks_mut(512)) {
        block.copy_to(0, bytes);
    }
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    (header.extents_at()..header.tables_end())
        .step_by(24)
        .map(|at| {
            let at = at as usize;
            let (length, owner) = (word(at + 4) as u16, (word(at + 4) >> 16) as u16);
            (owner, word(at), length.into(), bytes[at + 9] == 0)
        })
        .collect()
}

/// The data of the image, from its first byte on.
fn data(region: &Region<'_>) -> Vec<u8> {
    let area = region.snapshot();
    let header = area.header().expect("an image");
    let first = header.data_at() as usize / 512;
    let mut bytes = vec![0; header.data.get() as usize];
    for (block, bytes) in area.blocks()[first..].iter().zip(bytes.chunks_mut(512)) {
        block.copy_to(0, bytes);
    }
    bytes
}

const fn all_of(task: usize) -> (u16, u32, u32, bool) {
    (task as u16, 0x1000 * (task as u32 + 1), 0x800, true)
}

const KERNEL: (u16, u32, u32, bool) = (KERNEL_OWNER, KERNEL_MEMORY.base, KERNEL_MEMORY.size, true);

/// The stack that the emergency path uses begins here; the statics end with the region.
const COPIED_FROM: u32 = RECORDER_AT + 0x2000 - 11 * 512;

const RECORDERS: [(u16, u32, u32, bool); 3] = [
    (RECORDER as u16, RECORDER_AT, 0x0a00, true),
    (RECORDER as u16, COPIED_FROM, 0x1000, true),
    (RECORDER as u16, COPIED_FROM + 0x1000, 0x0a00, true),
];

/// The recorder is told to write the snapshot when the crash is durable, and the system is reset
/// when it has.
#[test]
fn a_durable_crash_is_followed_by_its_snapshot() {
    let region = retained();
    let mut supervisor = boot_saving(region);
    crash(&mut supervisor, &[WORKER]);
    assert!(region.snapshot().header().is_none());
    region.mailbox().conclude(true);
    assert!(supervisor.emergency_done(RECORDER));
    assert_eq!(
        supervisor.kernel.effects,
        [Effect::Armed(BUDGET), Effect::Restarted(RECORDER)]
    );
    let header = region.snapshot().header().unwrap();
    assert_eq!(header.kind(), Ok(SnapshotKind::System));
    assert!(SnapshotArea::is_of(
        &header,
        &region.mailbox().crash().unwrap().context
    ));
    assert_eq!((header.current.get(), header.image_id.get()), (0, IMAGE));
    assert_eq!(header.registers[15].get(), 0xc0de_0000);
    let [below, first, second] = RECORDERS;
    assert_eq!(
        extents(&region),
        [
            all_of(WORKER),
            all_of(0),
            KERNEL,
            below,
            first,
            second,
            all_of(CONSOLE)
        ]
    );

    assert!(!supervisor.emergency_done(RECORDER));
    assert_eq!(supervisor.kernel.effects[2..], [Effect::Reset]);
}

/// REQ: X2 (in part) The memory of the recorder is saved as it was before it was called: the double
/// of the kernel changes it when it restarts the recorder.
#[test]
fn the_recorders_memory_is_that_before_the_emergency() {
    let region = retained();
    let mut supervisor = boot_saving(region);
    let before = supervisor.kernel.tasks[RECORDER].memory[0].1.clone();
    crash(&mut supervisor, &[RECORDER]);
    assert_ne!(supervisor.kernel.tasks[RECORDER].memory[0].1, before);
    region.mailbox().conclude(true);
    assert!(supervisor.emergency_done(RECORDER));
    assert_eq!(extents(&region)[..3], RECORDERS);
    assert!(data(&region).starts_with(&before));
}

/// A second try finds the copy that was made before the first.
#[test]
fn what_the_recorder_does_not_write_waits_for_the_next_boot() {
    let region = retained();
    let mut supervisor = boot_saving(region);
    let before = supervisor.kernel.tasks[RECORDER].memory[0].1.clone();
    crash(&mut supervisor, &[RECORDER]);
    crash(&mut supervisor, &[RECORDER]);
    region.mailbox().conclude(true);
    assert!(!supervisor.emergency_done(RECORDER));
    assert_eq!(
        supervisor.kernel.effects[2..],
        [Effect::Restarted(RECORDER), Effect::Reset]
    );
    assert!(data(&region).starts_with(&before));
}

#[test]
fn a_recorder_that_fails_in_the_snapshot_leads_to_the_reset() {
    for hangs in [false, true] {
        let region = retained();
        let mut supervisor = boot_saving(region);
        crash(&mut supervisor, &[WORKER]);
        region.mailbox().conclude(true);
        assert!(supervisor.emergency_done(RECORDER));
        if hangs {
            let deadline = supervisor.deadline().unwrap();
            supervisor.check_deadline(deadline - 1);
            assert_eq!(supervisor.kernel.effects.len(), 2);
            supervisor.check_deadline(deadline);
        } else {
            crash(&mut supervisor, &[RECORDER]);
            let oops = region.mailbox().oops().unwrap();
            assert_eq!(oops.stored.context.task, RECORDER as u16);
        }
        assert_eq!(supervisor.kernel.effects[2..], [Effect::Reset]);
        // Crash and image stay as they were.
        assert_eq!(region.mailbox().state(), MailboxState::Done);
        assert!(region.snapshot().header().is_some());
    }
}

/// An image ends in time: what is not saved by then is in it without data.
#[test]
fn an_image_ends_before_the_watchdog() {
    let region = retained();
    let mut supervisor = boot_saving(region);
    crash(&mut supervisor, &[WORKER]);
    region.mailbox().conclude(true);
    supervisor.kernel.save_takes = 1_000;
    assert!(supervisor.emergency_done(RECORDER));
    let saved: Vec<_> = extents(&region).iter().map(|extent| extent.3).collect();
    assert_eq!(saved, [true, true, false, false, false, false, false]);
    // No time is left for the recorder.
    let now = supervisor.kernel.now;
    supervisor.check_deadline(now);
    assert_eq!(supervisor.kernel.effects.last(), Some(&Effect::Reset));
}

#[test]
fn the_scope_decides_what_is_saved() {
    let region = retained();
    let mut supervisor = boot_saving(region);
    supervisor.config.snapshot = SnapshotScope::Task;
    crash(&mut supervisor, &[WORKER]);
    region.mailbox().conclude(true);
    assert!(supervisor.emergency_done(RECORDER));
    let entry = (KERNEL_OWNER, KERNEL_MEMORY.base + 0x30, 0x10, true);
    assert_eq!(extents(&region), [all_of(WORKER), entry]);

    let region = retained();
    let mut supervisor = boot_saving(region);
    supervisor.config.snapshot = SnapshotScope::None;
    crash(&mut supervisor, &[CONSOLE, WORKER]);
    region.mailbox().conclude(true);
    assert!(!supervisor.emergency_done(RECORDER));
    assert!(region.snapshot().header().is_none());
}

/// A kernel that does not copy the recorder's memory leaves no snapshot of a system that is not as
/// it was.
#[test]
fn without_a_copy_of_the_recorder_there_is_no_snapshot() {
    let region = retained();
    let mut supervisor = boot_saving(region);
    supervisor.kernel.gives_saved = false;
    crash(&mut supervisor, &[WORKER]);
    region.mailbox().conclude(true);
    assert!(!supervisor.emergency_done(RECORDER));
    assert_eq!(
        supervisor.kernel.effects[1..],
        [Effect::Restarted(RECORDER), Effect::Reset]
    );
    assert!(region.snapshot().header().is_none());
}

/// The image of an oops waits for the recorder; a second oops does not replace it, a panic does.
#[test]
fn an_oops_saves_its_task() {
    let region = retained();
    let mut supervisor = boot_saving(region);
    crash(&mut supervisor, &[CONSOLE]);
    let header = region.snapshot().header().unwrap();
    assert_eq!(header.kind(), Ok(SnapshotKind::Task));
    assert_eq!(header.time.get(), 100);
    let entry = (KERNEL_OWNER, KERNEL_MEMORY.base + 0x20, 0x10, true);
    assert_eq!(extents(&region), [all_of(CONSOLE), entry]);
    supervisor.kernel.now = 200;
    crash(&mut supervisor, &[CONSOLE]);
    assert_eq!(region.snapshot().header(), Some(header));

    crash(&mut supervisor, &[WORKER]);
    assert!(region.snapshot().header().is_none());
}

/// REQ: D1 (in part), D2 (in part): the regions come before all other memory.
#[test]
fn registered_regions_are_saved_first() {
    let region = retained();
    let mut supervisor = boot_saving(region);
    supervisor.set_regions(Box::leak(Box::new(CrashRegions::<[_; 4]>::new(4, 4096))));
    let id = |task| TaskId::for_index_and_gen(task, Generation::ZERO);
    let name = |text: &[u8; 4]| {
        let mut name = [0; 24];
        name[..4].copy_from_slice(text);
        name
    };
    let (_, console, ..) = all_of(CONSOLE);
    let fans = supervisor.register_region(id(CONSOLE), &name(b"fans"), console + 16, 32);
    assert_eq!(fans, Ok(()));
    let uart = supervisor.register_region(id(CONSOLE), &name(b"uart"), DEVICE.start, 8);
    assert_eq!(uart, Ok(()));
    let foreign = supervisor.register_region(id(WORKER), &name(b"fans"), console, 4);
    assert_eq!(foreign, Err(RegionRefusal::NotReadable));
    crash(&mut supervisor, &[WORKER]);
    region.mailbox().conclude(true);
    assert!(supervisor.emergency_done(RECORDER));
    let extents = extents(&region);
    let of_console = |address, length, saved| (CONSOLE as u16, address, length, saved);
    assert_eq!(
        extents[..4],
        [
            of_console(console + 16, 32, true),
            // A bus fault leaves a hole.
            of_console(DEVICE.start, 4, false),
            of_console(DEVICE.start + 4, 4, true),
            all_of(WORKER)
        ]
    );
    let data = data(&region);
    assert_eq!(data[32..36], (DEVICE.start + 4).to_le_bytes());
}
