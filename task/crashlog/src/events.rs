//! Events that the session future waits for.
//!
//! The task has one timer, one interrupt and one receive loop. The loop notes notifications and new
//! requests here, and polls the future only if [`Events::is_due`] says that it can go on. Wakers
//! are not used: there is one future, and it waits for nothing else.

use core::cell::Cell;
use core::future::poll_fn;
use core::task::Poll;

use drv_sdhci::normal::Wait;
use userlib::{NotificationBits, sys_get_timer, sys_irq_control, sys_set_timer};

use crate::notifications;

/// All notifications of this task.
pub const MASK: u32 =
    notifications::SDHCI_IRQ_MASK | notifications::TIMER_MASK | notifications::OOPS_MASK;

/// What the future waits for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum WakeCondition {
    /// The controller's interrupt, or the timer.
    Controller,
    /// New work, or the timer.
    Work,
}

/// The events that have happened, and the condition that the future waits for.
pub struct Events {
    condition: Cell<WakeCondition>,
    /// The condition is met: the controller interrupted, the timer fired, or there is work.
    woken: Cell<bool>,
    /// There may be new work.
    work: Cell<bool>,
    /// The time that the timer is set to.
    timer: Cell<Option<u64>>,
}

impl Events {
    /// The state at start: the future is due, because it was not polled yet.
    pub const fn new() -> Self {
        Self {
            condition: Cell::new(WakeCondition::Controller),
            woken: Cell::new(true),
            work: Cell::new(false),
            timer: Cell::new(None),
        }
    }

    /// Notes notifications that were received.
    pub fn notified(&self, bits: NotificationBits) {
        if bits.check_notification_mask(notifications::TIMER_MASK) {
            self.timer.set(None);
            self.woken.set(true);
        }
        if bits.check_notification_mask(notifications::SDHCI_IRQ_MASK) {
            self.woken.set(true);
        }
        if bits.check_notification_mask(notifications::OOPS_MASK) {
            self.work();
        }
    }

    /// Notes that there may be new work. A future that waits for the controller looks at it later.
    #[inline]
    pub fn work(&self) {
        self.work.set(true);
        if self.condition.get() == WakeCondition::Work {
            self.woken.set(true);
        }
    }

    /// Can the future go on if it is polled?
    #[inline]
    pub fn is_due(&self) -> bool {
        self.woken.get()
    }

    /// Waits until there may be new work, or until `deadline` (milliseconds since boot).
    ///
    /// Dropped half way, it leaves the timer set. The next wait may then end early, which every
    /// caller tolerates.
    pub async fn wait_for_work(&self, deadline: Option<u64>) {
        if let Some(deadline) = deadline {
            self.set_timer(deadline);
        }
        self.condition.set(WakeCondition::Work);
        poll_fn(|_| {
            let woken = self.woken.take();
            if self.work.take() || woken {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Waits until `deadline` (milliseconds since boot).
    ///
    /// Dropped half way, it leaves the timer set and the interrupt enabled. The next wait may then
    /// end early.
    pub async fn sleep_until(&self, deadline: u64) {
        while self.now() < deadline {
            self.interrupt(deadline).await;
        }
    }

    /// Makes the timer fire at `deadline` or earlier. A timer that is set to an earlier time is
    /// left as it is: one wait ends early, and most waits need no system call.
    fn set_timer(&self, deadline: u64) {
        if self.timer.get().is_none_or(|set| set > deadline) {
            self.timer.set(Some(deadline));
            sys_set_timer(Some(deadline), notifications::TIMER_MASK);
        }
    }
}

impl Wait for Events {
    fn now(&self) -> u64 {
        sys_get_timer().now
    }

    /// Waits until the controller interrupts, or until `deadline` (milliseconds since boot).
    ///
    /// Dropped half way, it leaves the timer set and the interrupt enabled. The next wait may then
    /// end early.
    async fn interrupt(&self, deadline: u64) {
        self.set_timer(deadline);
        self.woken.set(false);
        self.condition.set(WakeCondition::Controller);
        sys_irq_control(notifications::SDHCI_IRQ_MASK, true);
        poll_fn(|_| {
            if self.woken.take() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}
