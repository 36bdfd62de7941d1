//! Notifications, timers and interrupts: sections 2.8 to 2.10.

use crate::Case;
use crate::notifications::{NOTE_MASK, OTHER_MASK, PAIR_IRQ_MASK, TEST_IRQ_MASK, TIMER_MASK};
use crate::support::{NO_SUCH_TASK, assist, first, id, myself, supervisor, system_call, usage};
use test_api::{assist, runner};
use userlib::{Generation, IrqStatus, Sysnum, TaskId, UsageError, dead_response_code, hl};
use userlib::{
    sys_get_timer, sys_irq_control, sys_irq_control_clear_pending, sys_irq_status, sys_post,
};
use userlib::{sys_recv_notification, sys_recv_open, sys_set_timer};

pub const CASES: &[Case] = &[
    ("s2_8_bits_accumulate_and_come_once", accumulate),
    ("s2_8_only_bits_of_the_mask_come", masked),
    ("s2_5_notifications_come_before_messages", before_messages),
    ("s2_8_another_tasks_post_is_received", from_another),
    ("s2_2_post_and_refresh_stale_and_out_of_range", dead_posts),
    ("s2_9_it_fires_at_its_time", fires),
    ("s2_9_a_past_deadline_fires_at_once", past_deadline),
    ("s2_9_cleared_it_does_not_fire", cleared),
    ("s2_9_it_can_be_read_back", read_back),
    ("s6_a_sleep_lets_others_work", sleep),
    ("s6_a_post_does_not_end_a_sleep_ours", sleep_through),
    (
        "s2_10_an_interrupt_is_posted_once_and_masked",
        software_interrupt,
    ),
    ("s2_10_disabled_interrupts_stay_pending", disabled_interrupt),
    (
        "s2_10_interrupts_that_share_a_notification",
        shared_interrupts,
    ),
    ("s2_2_irq_calls_without_interrupt", wrong_mask),
];

/// Receives the pending bits of `mask` without waiting.
fn posted(mask: u32) -> u32 {
    sys_post(myself(), TIMER_MASK);
    sys_recv_notification(mask | TIMER_MASK).get_raw_bits() & !TIMER_MASK
}

fn accumulate() {
    assert_eq!(sys_post(myself(), NOTE_MASK), 0);
    assert_eq!(sys_post(myself(), OTHER_MASK), 0);
    assert_eq!(sys_post(myself(), OTHER_MASK), 0);
    assert_eq!(posted(NOTE_MASK | OTHER_MASK), NOTE_MASK | OTHER_MASK);
    assert_eq!(posted(NOTE_MASK | OTHER_MASK), 0);
}

fn masked() {
    sys_post(myself(), NOTE_MASK | OTHER_MASK | 1 << 30);
    assert_eq!(posted(OTHER_MASK), OTHER_MASK);
    assert_eq!(posted(NOTE_MASK | 1 << 30), NOTE_MASK | 1 << 30);
}

fn before_messages() {
    assert_eq!(
        test_api::ask(first(), assist::CALL_BACK, [id(myself()), 0x55, 0]).0,
        0
    );
    sys_post(myself(), NOTE_MASK);
    let received = sys_recv_open(&mut [0; 4], NOTE_MASK);
    assert_eq!(
        (received.sender, received.operation),
        (TaskId::KERNEL, NOTE_MASK)
    );
    assert_eq!(
        (
            received.message_len,
            received.response_capacity,
            received.lease_count
        ),
        (0, 0, 0)
    );
    let received = sys_recv_open(&mut [0; 4], NOTE_MASK);
    assert_eq!((received.sender, received.operation), (first(), 0x55));
    userlib::sys_reply(received.sender, 0, &[]);
}

fn from_another() {
    assert_eq!(assist(assist::POST_CALLER, [OTHER_MASK])[0], 0);
    assert_eq!(
        sys_recv_notification(NOTE_MASK | OTHER_MASK).get_raw_bits(),
        OTHER_MASK
    );
}

fn dead_posts() {
    let now = first();
    let past = TaskId::for_index_and_gen(
        now.index(),
        Generation::from(u8::from(now.generation()).wrapping_sub(1) & 0x3f),
    );
    assert_eq!(sys_post(past, 1), dead_response_code(now.generation()));
    usage(
        Sysnum::Post,
        [NO_SUCH_TASK, 0, 0, 0, 0, 0, 0],
        UsageError::TaskOutOfRange,
    );
    usage(
        Sysnum::RefreshTaskId,
        [NO_SUCH_TASK, 0, 0, 0, 0, 0, 0],
        UsageError::TaskOutOfRange,
    );
    // REFRESH_TASK_ID ignores the generation and the bits above bit 15.
    let [refreshed, ..] = system_call(Sysnum::RefreshTaskId, [id(past), 0, 0, 0, 0, 0, 0]);
    assert_eq!(refreshed, id(first()));
}

fn fires() {
    let begun = sys_get_timer().now;
    sys_set_timer(Some(begun + 20), NOTE_MASK);
    assert_eq!(sys_recv_notification(NOTE_MASK).get_raw_bits(), NOTE_MASK);
    let timer = sys_get_timer();
    assert!(
        (begun + 20..begun + 40).contains(&timer.now),
        "20 ms took {}",
        timer.now - begun
    );
    assert_eq!(timer.deadline, None);
}

fn past_deadline() {
    let now = sys_get_timer().now;
    for deadline in [0, now] {
        sys_set_timer(Some(deadline), NOTE_MASK);
        assert_eq!(posted(NOTE_MASK), NOTE_MASK);
        assert_eq!(sys_get_timer().deadline, None);
    }
}

fn cleared() {
    sys_set_timer(Some(sys_get_timer().now + 5), NOTE_MASK);
    sys_set_timer(None, NOTE_MASK);
    hl::sleep_for(15);
    assert_eq!(posted(NOTE_MASK), 0);
}

fn read_back() {
    sys_set_timer(Some(0x1_2345_6789), OTHER_MASK);
    let timer = sys_get_timer();
    assert_eq!(
        (timer.deadline, timer.on_dl),
        (Some(0x1_2345_6789), OTHER_MASK)
    );
    sys_set_timer(None, 0);
    assert_eq!(sys_get_timer().deadline, None);
}

fn sleep() {
    let begun = sys_get_timer().now;
    assist(assist::NAP, [10]);
    let took = sys_get_timer().now - begun;
    assert!((10..30).contains(&took), "10 ms took {took}");
}

/// REQ: C3 (in part)
fn sleep_through() {
    let begun = sys_get_timer().now;
    sys_post(myself(), hl::INTERNAL_TIMER_NOTIFICATION);
    hl::sleep_for(10);
    let took = sys_get_timer().now - begun;
    assert!((10..30).contains(&took), "10 ms took {took}");
    // The bit that the timer posted does not stay for the next sleep.
    assert_eq!(posted(hl::INTERNAL_TIMER_NOTIFICATION), 0);
}

fn software_interrupt() {
    sys_irq_control_clear_pending(TEST_IRQ_MASK, true);
    assert_eq!(sys_irq_status(TEST_IRQ_MASK), IrqStatus::ENABLED);
    supervisor(
        runner::SOFTWARE_IRQ,
        [myself().index() as u32, TEST_IRQ_MASK],
    );
    // The notification is posted, and the interrupt masked by the kernel until it is enabled again.
    assert!(sys_irq_status(TEST_IRQ_MASK).contains(IrqStatus::POSTED));
    assert!(!sys_irq_status(TEST_IRQ_MASK).contains(IrqStatus::ENABLED));
    assert_eq!(
        sys_recv_notification(TEST_IRQ_MASK).get_raw_bits(),
        TEST_IRQ_MASK
    );
    sys_irq_control_clear_pending(TEST_IRQ_MASK, true);
    assert_eq!(posted(TEST_IRQ_MASK), 0);
}

fn disabled_interrupt() {
    sys_irq_control(TEST_IRQ_MASK, false);
    supervisor(
        runner::SOFTWARE_IRQ,
        [myself().index() as u32, TEST_IRQ_MASK],
    );
    assert_eq!(sys_irq_status(TEST_IRQ_MASK), IrqStatus::PENDING);
    assert_eq!(posted(TEST_IRQ_MASK), 0);
    sys_irq_control(TEST_IRQ_MASK, true);
    assert_eq!(posted(TEST_IRQ_MASK), TEST_IRQ_MASK);
    sys_irq_control_clear_pending(TEST_IRQ_MASK, false);
}

/// Two interrupts of this task have the same notification: each call affects both.
fn shared_interrupts() {
    let pend = || {
        let both = [myself().index() as u32, PAIR_IRQ_MASK];
        supervisor(runner::SOFTWARE_IRQ, both);
    };
    let status = || sys_irq_status(PAIR_IRQ_MASK);
    sys_irq_control_clear_pending(PAIR_IRQ_MASK, true);
    assert_eq!(status(), IrqStatus::ENABLED);
    // Both are taken and masked. If one of them were not, IRQ_STATUS would report the set as
    // enabled.
    pend();
    assert_eq!(status(), IrqStatus::POSTED);
    assert_eq!(posted(PAIR_IRQ_MASK), PAIR_IRQ_MASK);
    assert_eq!(status(), IrqStatus::empty());
    // Both are pending while masked. When they are enabled, both are posted, as one bit.
    pend();
    assert_eq!(status(), IrqStatus::PENDING);
    assert_eq!(posted(PAIR_IRQ_MASK), 0);
    sys_irq_control(PAIR_IRQ_MASK, true);
    assert_eq!(status(), IrqStatus::POSTED);
    assert_eq!(posted(PAIR_IRQ_MASK), PAIR_IRQ_MASK);
    // After clearing, on disabling or on enabling, neither is posted.
    for enable in [false, true] {
        sys_irq_control(PAIR_IRQ_MASK, false);
        pend();
        assert_eq!(status(), IrqStatus::PENDING);
        sys_irq_control_clear_pending(PAIR_IRQ_MASK, enable);
        sys_irq_control(PAIR_IRQ_MASK, true);
        assert_eq!(status(), IrqStatus::ENABLED);
        assert_eq!(posted(PAIR_IRQ_MASK), 0);
    }
    sys_irq_control(PAIR_IRQ_MASK, false);
    assert_eq!(status(), IrqStatus::empty());
}

fn wrong_mask() {
    // The assist has no interrupt; and control bits beyond the two are unknown.
    usage(Sysnum::IrqControl, [1, 1, 0, 0, 0, 0, 0], UsageError::NoIrq);
    usage(Sysnum::IrqControl, [1, 4, 0, 0, 0, 0, 0], UsageError::NoIrq);
    usage(Sysnum::IrqStatus, [1, 0, 0, 0, 0, 0, 0], UsageError::NoIrq);
}
