//! What wakes the background.
//!
//! The task has one timer, one interrupt and one receive loop. The loop notes here what happened and polls the
//! background only if that can make a difference; the background waits here for what it needs. Wakers play no part:
//! there is one future, and this is all it ever waits for.

use core::cell::Cell;
use core::future::poll_fn;
use core::task::Poll;

use drv_sdhci::normal::Wait;
use userlib::{NotificationBits, sys_get_timer, sys_irq_control, sys_set_timer};

use crate::notifications;

/// All notifications of this task.
pub const MASK: u32 =
    notifications::SDHCI_IRQ_MASK | notifications::TIMER_MASK | notifications::OOPS_MASK;

/// What the background waits for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Waiting {
    /// The controller, or the time.
    Controller,
    /// Anything to do, or the time.
    Work,
}

/// What happened, and what the background waits for.
pub struct Events {
    waiting: Cell<Waiting>,
    /// What the background waits for has come: the controller interrupted, the timer fired, or there is work.
    woken: Cell<bool>,
    /// There may be something new to do.
    work: Cell<bool>,
    /// What the timer is set to.
    timer: Cell<Option<u64>>,
}

impl Events {
    /// The background has not run yet, and should.
    pub const fn new() -> Self {
        Self {
            waiting: Cell::new(Waiting::Controller),
            woken: Cell::new(true),
            work: Cell::new(false),
            timer: Cell::new(None),
        }
    }

    /// Takes notifications.
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

    /// There may be something new to do. While the background waits for the controller, that is for later.
    #[inline]
    pub fn work(&self) {
        self.work.set(true);
        if self.waiting.get() == Waiting::Work {
            self.woken.set(true);
        }
    }

    /// Would polling the background make a difference?
    #[inline]
    pub fn is_due(&self) -> bool {
        self.woken.get()
    }

    /// Waits until there may be something to do, or `deadline` (milliseconds since boot).
    pub async fn wait_for_work(&self, deadline: Option<u64>) {
        if let Some(deadline) = deadline {
            self.set_timer(deadline);
        }
        self.waiting.set(Waiting::Work);
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
    pub async fn sleep_until(&self, deadline: u64) {
        while self.now() < deadline {
            self.interrupt(deadline).await;
        }
    }

    /// Makes the timer fire at `deadline` at the latest. One that is set to an earlier time stays as it is: it wakes too
    /// early once, and spares most waits a system call.
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

    async fn interrupt(&self, deadline: u64) {
        self.set_timer(deadline);
        self.woken.set(false);
        self.waiting.set(Waiting::Controller);
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
