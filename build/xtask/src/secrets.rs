//! Memory of tasks that must not leave the machine
//!
//! What a task declares by `secret!` (`task/crashlog-api`) is one range of its memory, between
//! symbols of its linker script. The kernel gets the ranges of all tasks as a constant table.

use anyhow::{Context, Result, ensure};
use build_elf::Elf;
use std::ops::Range;

/// The ranges of all tasks that have secrets, ascending.
pub fn ranges<'a>(tasks: impl Iterator<Item = &'a Elf>) -> Result<Vec<Range<u32>>> {
    let mut ranges = Vec::new();
    for elf in tasks {
        let start = elf.symbol("__ssecret")?;
        let end = elf.symbol("__esecret")?;
        let (start, end) = start.zip(end).context(
            "the linker script of tasks defines no symbols __ssecret and __esecret, which the kernel needs",
        )?;
        ensure!(start <= end, "__esecret is below __ssecret");
        if start < end {
            ranges.push(start..end);
        }
    }
    ranges.sort_by_key(|range| range.start);
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn program(symbols: &[(&str, u32)]) -> Elf {
        use object::write::{Object, Symbol, SymbolSection};
        use object::{
            Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope,
        };
        let mut object = Object::new(BinaryFormat::Elf, Architecture::Arm, Endianness::Little);
        for (name, value) in symbols {
            object.add_symbol(Symbol {
                name: name.as_bytes().to_vec(),
                value: u64::from(*value),
                size: 0,
                kind: SymbolKind::Data,
                scope: SymbolScope::Dynamic,
                weak: false,
                section: SymbolSection::Absolute,
                flags: SymbolFlags::None,
            });
        }
        Elf::parse(Path::new("task"), object.write().expect("ELF")).expect("ELF")
    }

    #[test]
    fn only_tasks_with_secrets_count_in_the_order_of_addresses() {
        let of = |start, end| program(&[("__ssecret", start), ("__esecret", end)]);
        let tasks = [of(0x2000, 0x2010), of(0x3000, 0x3000), of(0x1000, 0x1004)];
        let ranges = ranges(tasks.iter()).expect("good");
        assert_eq!(ranges, [0x1000..0x1004, 0x2000..0x2010]);
    }

    #[test]
    fn a_script_without_the_symbols_is_an_error() {
        assert!(ranges([program(&[("__ssecret", 1)])].iter()).is_err());
        let wrong = program(&[("__ssecret", 8), ("__esecret", 4)]);
        assert!(ranges([wrong].iter()).is_err());
    }
}
