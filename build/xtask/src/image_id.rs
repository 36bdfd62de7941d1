//! The image id: which image it is that runs, or that crashed
//!
//! Debuggers and `crashlog` compare it to find out whether an archive is that of the image, so it
//! differs if anything differs by which they read memory: code, addresses, debug information of
//! kernel and tasks, configuration. It is known when all is linked, and is then written over the
//! zero in the kernel.
//!
//! The commit is not in it. Two commits of which the same programs are built, say because only a
//! document was changed, make the same image.

use crate::archive;
use crate::config::Config;
use crate::hash::Fnv64;
use anyhow::{Context, Result, bail};
use build_elf::Elf;
use indexmap::IndexMap;
use object::{Object, ObjectSymbol};

/// The kernel's static that holds the id.
const SYMBOL: &str = "HUBRIS_IMAGE_ID";

/// Writes the id of the image into its `kernel`, which is complete but for that.
pub fn write(config: &Config, kernel: &mut Elf, tasks: &IndexMap<String, Elf>) -> Result<()> {
    let address = kernel
        .file()?
        .symbols()
        .find(|symbol| symbol.name() == Ok(SYMBOL))
        .map(|symbol| (symbol.address(), symbol.size()));
    let Some((address, size)) = address else {
        bail!("the kernel has no `{SYMBOL}`; without it no debugger can tell which image runs");
    };
    if size != 8 {
        bail!("the kernel's `{SYMBOL}` has {size} bytes; it must have 8");
    }
    let address = u32::try_from(address)?;
    kernel
        .patch(address, &[0; 8])
        .with_context(|| format!("the kernel's `{SYMBOL}`"))?;
    let id = of(&archive::configuration(config)?, kernel, tasks);
    kernel.patch(address, &id.to_le_bytes())
}

/// The id of an image whose `kernel` has a zero in its place. Never 0, which stands for an id that
/// is not known.
fn of(configuration: &[(&str, String)], kernel: &Elf, tasks: &IndexMap<String, Elf>) -> u64 {
    let mut id = Fnv64::new();
    for (name, text) in configuration {
        id.add(name.as_bytes());
        id.add(text.as_bytes());
    }
    id.add(kernel.data());
    for (name, elf) in tasks {
        id.add(name.as_bytes());
        id.add(elf.data());
    }
    id.finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Files;
    use object::write::{StandardSection, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};
    use std::path::Path;

    /// A program with `code`, a zero called `symbol` behind it, and `debug` information.
    fn program(symbol: &str, size: u64, code: &[u8], debug: &[u8]) -> Elf {
        let mut file =
            object::write::Object::new(BinaryFormat::Elf, Architecture::Arm, Endianness::Little);
        let text = file.section_id(StandardSection::Text);
        file.append_section_data(text, code, 8);
        let value = file.append_section_data(text, &[0; 8], 8);
        file.add_symbol(Symbol {
            name: symbol.as_bytes().to_vec(),
            value,
            size,
            kind: SymbolKind::Data,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
        let section = file.add_section(
            Vec::new(),
            b".debug_info".to_vec(),
            object::SectionKind::Debug,
        );
        file.append_section_data(section, debug, 1);
        Elf::parse(Path::new("program"), file.write().expect("an ELF file")).expect("an ELF file")
    }

    /// The id that an image gets of a kernel and one task.
    fn written(config: &Config, mut kernel: Elf, task: &Elf) -> u64 {
        let tasks = IndexMap::from([("jefe".to_string(), task.clone())]);
        write(config, &mut kernel, &tasks).expect("an id");
        let text = kernel.section(".text").expect("a section");
        u64::from_le_bytes(text[8..16].try_into().expect("8 bytes"))
    }

    /// REQ: X9 (in part: another build has another image id)
    #[test]
    fn every_part_of_an_image_is_in_its_id() {
        let config = Files::good().load().expect("good");
        let kernel = |code, debug| program(SYMBOL, 8, code, debug);
        let (plain, task) = (
            kernel(b"code 1", b"line 1"),
            program("x", 8, b"a", b"line 1"),
        );
        let id = written(&config, plain.clone(), &task);
        assert_ne!(id, 0);
        assert_eq!(id, written(&config, plain.clone(), &task));

        let mut files = Files::good();
        files.app = files.app.replace("priority = 5", "priority = 6");
        let others = [
            written(&config, kernel(b"code 2", b"line 1"), &task),
            written(&config, kernel(b"code 1", b"line 2"), &task),
            written(&config, plain.clone(), &program("x", 8, b"b", b"line 1")),
            written(&config, plain.clone(), &program("x", 8, b"a", b"line 2")),
            written(&files.load().expect("good"), plain, &task),
        ];
        for (index, other) in others.into_iter().enumerate() {
            assert_ne!(id, other, "part {index}");
        }
    }

    #[test]
    fn what_was_in_its_place_is_not_in_the_id() {
        let config = Files::good().load().expect("good");
        let (kernel, task) = (
            program(SYMBOL, 8, b"code 1", b""),
            program("x", 8, b"a", b""),
        );
        let mut again = kernel.clone();
        write(&config, &mut again, &IndexMap::new()).expect("an id");
        assert_eq!(
            written(&config, again, &task),
            written(&config, kernel, &task)
        );
    }

    #[test]
    fn a_kernel_without_a_place_for_it_is_refused() {
        let config = Files::good().load().expect("good");
        for (symbol, size, said) in [
            ("another", 8, "has no `HUBRIS_IMAGE_ID`"),
            (SYMBOL, 4, "has 4 bytes"),
        ] {
            let mut kernel = program(symbol, size, b"code", b"");
            let error = write(&config, &mut kernel, &IndexMap::new()).expect_err("refused");
            assert!(format!("{error:#}").contains(said), "{error:#}");
        }
    }
}
