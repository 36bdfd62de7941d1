//! Writes a dump file, as stock Humility reads it: notes with the archive and the registers, and
//! one piece of memory.

/// A dump with the archive, registers that are all zero, and the bytes of a region at `address`, if
/// there are any.
pub fn write(archive: &[u8], address: u32, region: &[u8]) -> Vec<u8> {
    let note = |kind: u32, content: &[u8]| {
        let mut note = Vec::new();
        for word in [23, content.len() as u32, kind] {
            note.extend(word.to_le_bytes());
        }
        note.extend(b"Oxide Computer Company\0\0");
        note.extend(content);
        note.resize(note.len().next_multiple_of(4), 0);
        note
    };
    let pairs: Vec<u8> = (0..20_u32)
        .flat_map(|number| [number, 0])
        .flat_map(u32::to_le_bytes)
        .collect();
    let parts = [
        note(0x1de0_0002, &pairs),
        note(0x1de0_0001, archive),
        region.to_vec(),
    ];
    let count = if region.is_empty() { 2 } else { 3 };
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for word in [
        4 | 40 << 16,
        1,
        0,
        52,
        0,
        0,
        52 | 32 << 16,
        count | 40 << 16,
        0_u32,
    ] {
        file.extend(word.to_le_bytes());
    }
    let mut offset = 52 + 32 * count;
    for (index, part) in parts.iter().take(count as usize).enumerate() {
        let length = part.len() as u32;
        let header = match index {
            2 => [1, offset, address, 0, length, length, 4, 0],
            _ => [4, offset, 0, 0, length, 0, 4, 0],
        };
        for word in header {
            file.extend(word.to_le_bytes());
        }
        offset += length;
    }
    parts.iter().for_each(|part| file.extend(part));
    file
}
