//! EPIT1 of the i.MX 6UltraLite (IMX6ULRM, chapter 24).

/// Its first register.
const TIMER: usize = 0x020d_0000;
/// Offset of the control register.
const CONTROL: usize = 0x00;
/// EN, ENMOD, OCIEN, RLD, IOVW, and the bus clock.
const START: u32 = 0x0102_000f;
/// Offset of the status register: writing 1 ends the interrupt.
const STATUS: usize = 0x04;
/// Offset of the reload register.
const RELOAD: usize = 0x08;
/// Offset of the compare register: it interrupts when its count, which goes down, reaches it.
const COMPARE: usize = 0x0c;

/// Stops it.
pub fn stop() {
    write(CONTROL, 0);
    write(STATUS, 1);
}

/// Sets where its count begins, and where it interrupts.
pub fn set(reload: u32, left: u32) {
    write(COMPARE, left);
    write(RELOAD, reload);
}

/// Starts it.
pub fn start() {
    write(CONTROL, START);
}

fn write(register: usize, value: u32) {
    // SAFETY: app.toml maps the timer to this task, as device memory, and the registers are aligned
    // words in it.
    unsafe { ((TIMER + register) as *mut u32).write_volatile(value) };
}
