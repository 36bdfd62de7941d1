//! What the task passes to the kernel: buffers of its own, and addresses that are not its.

use test_random::Random;

/// Bytes of each buffer.
pub const BUFFER: usize = 640;
/// Entries of the lease table.
pub const LEASES: usize = 4;

/// Buffers in ordinary memory. Nobody reads what the kernel or a server puts there.
#[repr(C)]
pub struct Memory {
    buffers: [[u8; BUFFER]; 2],
    /// Lease tables: attributes, address, length.
    table: [[u32; 3]; LEASES],
}

impl Memory {
    /// With a few random words at the beginning of each buffer.
    pub fn new(random: &mut Random) -> Self {
        let mut buffers = [[0; BUFFER]; 2];
        for buffer in &mut buffers {
            for byte in buffer.iter_mut().take(16) {
                // Small numbers are valid in more places than others.
                let byte_or_zero = [random.word() as u8, random.below(16) as u8, 0, 0];
                *byte = random.of(&byte_or_zero);
            }
        }
        Self {
            buffers,
            table: [[0; 3]; LEASES],
        }
    }

    fn own(&self, random: &mut Random) -> [u32; 2] {
        let [first, second] = &self.buffers;
        let buffer = if random.one_in(2) { first } else { second };
        let length = random.of(&[0, 1, 3, 4, 5, 8, 12, 16, 24, 64, 256, 512, BUFFER]);
        [buffer.as_ptr().addr() as u32, length as u32]
    }

    /// Address and length of memory: for the most part of a buffer.
    pub fn slice(&self, random: &mut Random) -> [u32; 2] {
        if random.one_in(16) {
            self.foreign(random)
        } else {
            self.own(random)
        }
    }

    /// Memory that is another's, or none's, or this task's but no place for what is done there.
    fn foreign(&self, random: &mut Random) -> [u32; 2] {
        let table = self.table.as_ptr().addr() as u32;
        let stack = (&raw const table).addr() as u32;
        let address = match random.below(12) {
            0 => 0,
            // The lease table itself, for which servers are given lengths that change.
            1..4 => table,
            4 => stack,
            // Text of this task, of others, of the kernel.
            5 => 0x8010_0000 + (random.word() & 0x3_fffc),
            // Memory of tasks.
            6 => 0x8080_0000 + (random.word() & 0xf_fffc),
            // The retained region, dump areas.
            7 => 0x80c0_0000 + (random.word() & 0x1f_fffc),
            // Registers of the controller and of the watchdog.
            8 => random.of(&[0x1e75_0100, 0x1e78_5000]),
            9 => u32::MAX - (random.word() & 0xff),
            _ => random.word(),
        };
        let length = random.of(&[1, 4, 12, 24, 64, 512, 4_096, 0x7fff_ffff, u32::MAX]);
        [address, length]
    }

    /// Fills the lease table; its address and the number of leases.
    pub fn leases(&mut self, random: &mut Random) -> [u32; 2] {
        for index in 0..LEASES {
            let [address, length] = if random.one_in(4) {
                self.foreign(random)
            } else {
                self.own(random)
            };
            let attributes = random.of(&[1, 2, 3, 3, 0, u32::MAX]);
            if let Some(entry) = self.table.get_mut(index) {
                *entry = [attributes, address, length];
            }
        }
        let count = random.of(&[0, 1, 1, 1, 2, LEASES as u32, 255]);
        [self.table.as_ptr().addr() as u32, count]
    }

    /// Replaces the first words of what [`Memory::first`] returns.
    pub fn begin(&mut self, words: &[u32]) {
        let [first, _] = &mut self.buffers;
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        for (place, byte) in first.iter_mut().zip(bytes) {
            *place = byte;
        }
    }

    /// The first buffer, of this length.
    pub fn first(&self, length: usize) -> [u32; 2] {
        let [first, _] = &self.buffers;
        [first.as_ptr().addr() as u32, length as u32]
    }
}
