//! Timer 1 of the AST2600.

/// First register of the timers.
const TIMERS: usize = 0x1e78_2000;
/// Offset of timer 1's reload register.
const RELOAD: usize = 0x04;
/// Offsets of timer 1's match registers: it interrupts when its count, which goes down, reaches one
/// of them.
const MATCH: [usize; 2] = [0x08, 0x0c];
/// Offset of the control register, which has four bits for each timer.
const CONTROL: usize = 0x30;
/// Control bit that starts timer 1 on the bus clock.
const START: u32 = 1 << 0;

/// Stops it.
pub fn stop() {
    write(CONTROL, 0);
}

/// Sets where its count begins, and where it interrupts.
pub fn set(reload: u32, left: u32) {
    for register in MATCH {
        write(register, left);
    }
    write(RELOAD, reload);
}

/// Starts it.
pub fn start() {
    write(CONTROL, START);
}

fn write(register: usize, value: u32) {
    // SAFETY: app.toml maps the timers to this task, as device memory, and the registers are
    // aligned words in them.
    unsafe { ((TIMERS + register) as *mut u32).write_volatile(value) };
}
