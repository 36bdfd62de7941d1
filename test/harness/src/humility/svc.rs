//! What a function has pushed before each of its system calls (SVC).

use std::collections::{BTreeMap, VecDeque};

/// Number of the link register.
const LR: usize = 14;

/// For the address behind each SVC of a function: the registers that were pushed before it, from
/// the stack pointer up.
///
/// A register that was moved into another one before it was pushed counts as the first one.
/// Branches are not followed.
pub fn calls(first: u32, body: &[u8]) -> BTreeMap<u32, Vec<usize>> {
    let halves: Vec<u32> = body
        .chunks_exact(2)
        .map(|half| u32::from(half[0]) | u32::from(half[1]) << 8)
        .collect();
    let mut found = BTreeMap::new();
    let mut pushed: VecDeque<usize> = VecDeque::new();
    let mut source: [usize; 16] = std::array::from_fn(|number| number);
    let mut at = 0;
    while let Some(&half) = halves.get(at) {
        let wide = half >> 11 >= 0b11101;
        let next = halves.get(at + 1).copied().unwrap_or_default();
        at += if wide { 2 } else { 1 };
        let listed = |mask: u32| (0..16).filter(move |number| mask >> number & 1 != 0);
        let mut push = |mask: u32, source: &[usize; 16]| {
            for number in listed(mask).collect::<Vec<_>>().into_iter().rev() {
                pushed.push_front(source[number]);
            }
        };
        match (half, next) {
            // PUSH: T1, T2, T3
            (half, _) if half & 0xfe00 == 0xb400 => {
                push(half & 0xff | (half >> 8 & 1) << LR, &source);
            }
            (0xe92d, mask) => push(mask, &source),
            (0xf84d, one) if one & 0xfff == 0xd04 => push(1 << (one >> 12), &source),
            // POP
            (half, _) if half & 0xfe00 == 0xbc00 => {
                let count = (half & 0x1ff).count_ones() as usize;
                pushed.drain(..count.min(pushed.len()));
            }
            (0xe8bd, mask) => {
                let count = mask.count_ones() as usize;
                pushed.drain(..count.min(pushed.len()));
            }
            // MOV of a register
            (half, _) if half & 0xff00 == 0x4600 => {
                let to = (half >> 4 & 8 | half & 7) as usize;
                source[to] = source[(half >> 3 & 0xf) as usize];
            }
            (half, _) if half & 0xff00 == 0xdf00 => {
                let behind = first + 2 * at as u32;
                found.insert(behind, pushed.iter().copied().collect());
            }
            _ => {}
        }
    }
    found
}
