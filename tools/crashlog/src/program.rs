//! A program of an archive, the kernel or a task: functions, source lines, symbols.

use crate::dwarf::{DebugInfo, Slice};
use addr2line::Context;
use gimli::{Dwarf, LittleEndian};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A place in the source of a program.
pub struct Place {
    pub function: String,
    pub file: Option<String>,
    pub line: Option<u32>,
}

/// A program with its debug information.
pub struct Program {
    context: Context<Slice>,
    /// The debug information.
    pub dwarf: Arc<Dwarf<Slice>>,
    /// The call frame information.
    pub frames: Slice,
    /// Start and end address of the text.
    text: (u64, u64),
    /// The bytes of the text.
    code: Vec<u8>,
    /// Address and size of each symbol that has a size.
    symbols: HashMap<String, (u32, u32)>,
    /// Functions without a size, by address: those in assembly language.
    unsized_functions: BTreeMap<u32, String>,
}

/// Whether a symbol is in a section that is in memory. A section for debuggers alone has addresses
/// as well, from 0 on.
fn is_loaded<'d>(file: &object::File<'d>, symbol: &impl ObjectSymbol<'d>) -> bool {
    let section = symbol.section_index().map(|it| file.section_by_index(it));
    section.and_then(Result::ok).is_some_and(|section| {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            return false;
        };
        sh_flags.contains(object::elf::SHF_ALLOC)
    })
}

impl Program {
    /// Reads an ELF; `None` if it is damaged.
    pub fn load(elf: &[u8]) -> Option<Self> {
        let file = object::File::parse(elf).ok()?;
        let section = |name: &str| -> Slice {
            let data = file
                .section_by_name(name)
                .and_then(|section| section.uncompressed_data().ok());
            Slice::new(Arc::from(data.unwrap_or_default().as_ref()), LittleEndian)
        };
        let dwarf = Arc::new(Dwarf::load(|id| Ok::<_, gimli::Error>(section(id.name()))).ok()?);
        let text = file.section_by_name(".text")?;
        Some(Self {
            context: Context::from_arc_dwarf(dwarf.clone()).ok()?,
            dwarf,
            frames: section(".debug_frame"),
            text: (text.address(), text.address() + text.size()),
            code: text.data().ok()?.to_vec(),
            symbols: file
                .symbols()
                .filter(|symbol| symbol.size() == 0 || is_loaded(&file, symbol))
                .filter_map(|symbol| {
                    let place = (symbol.address() as u32, symbol.size() as u32);
                    Some((symbol.name().ok()?.to_owned(), place))
                })
                .collect(),
            unsized_functions: file
                .symbols()
                .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() == 0)
                .filter_map(|symbol| {
                    Some((symbol.address() as u32 & !1, symbol.name().ok()?.to_owned()))
                })
                .collect(),
        })
    }

    /// Types and variables.
    pub fn debug_info(&self) -> DebugInfo {
        DebugInfo::read(&self.dwarf, &self.symbols)
    }

    /// Address and size of a symbol.
    pub fn symbol(&self, name: &str) -> Option<(u32, u32)> {
        self.symbols.get(name).copied()
    }

    /// The name of the symbol around an address: of several the one that begins nearest to it, and
    /// of several there the first by name. A function without a size ends where another begins.
    pub fn symbol_at(&self, address: u32) -> Option<String> {
        let address = address & !1;
        let around = |(_, (start, size)): &(&String, &(u32, u32))| {
            let start = start & !1;
            (start..start.saturating_add(*size)).contains(&address)
        };
        let around = self.symbols.iter().filter(around);
        let around = around.min_by_key(|(name, (start, _))| (Reverse(*start), *name));
        let name = match around {
            Some((name, _)) => name,
            None => self.unsized_function(address)?,
        };
        Some(addr2line::demangle_auto(name.into(), None).into_owned())
    }

    /// The function without a size that this address belongs to, which no other does.
    fn unsized_function(&self, address: u32) -> Option<&String> {
        let mut before = self.unsized_functions.range(..=address);
        let (start, name) = before.next_back().filter(|_| self.is_text(address))?;
        let mut others = self.symbols.values().filter(|(_, size)| *size > 0);
        let is_between = |other: &(u32, u32)| (*start..address).contains(&(other.0 & !1));
        (!others.any(is_between)).then_some(name)
    }

    /// Where the text is.
    pub fn text(&self) -> std::ops::Range<u32> {
        self.text.0 as u32..self.text.1 as u32
    }

    /// If the address is the one after a system call (`svc`): what the function around it has
    /// pushed before the call, from the stack pointer up. The stubs of system calls have no call
    /// frame information; each begins with one `push`.
    pub fn pushed_before_call(&self, address: u32) -> Option<Vec<usize>> {
        let half = |address: u32| -> Option<u32> {
            let offset = usize::try_from(u64::from(address).checked_sub(self.text.0)?).ok()?;
            let bytes = self.code.get(offset..)?.first_chunk::<2>()?;
            Some(u16::from_le_bytes(*bytes).into())
        };
        let address = address & !1;
        // SVC (ARMv7-M Architecture Reference Manual, section A7.7.178).
        if half(address.checked_sub(2)?)? >> 8 != 0xdf {
            return None;
        }
        let inside = |&&(start, size): &&(u32, u32)| {
            let start = start & !1;
            size > 0 && (start..start.saturating_add(size)).contains(&(address - 2))
        };
        let around = self.symbols.values().filter(inside);
        let start = around.map(|(start, _)| start & !1).max()?;
        // PUSH, encodings T1 and T2 (section A7.7.101).
        let list = match half(start)? {
            0xe92d => half(start + 2)?,
            short if short & 0xfe00 == 0xb400 => short & 0xff | (short >> 8 & 1) << 14,
            _ => return None,
        };
        Some((0..16).filter(|number| list >> number & 1 != 0).collect())
    }

    /// Whether the address is in the text.
    pub fn is_text(&self, address: u32) -> bool {
        (self.text.0..self.text.1).contains(&u64::from(address & !1))
    }

    /// The function of the instruction at this address, preceded by those that are inlined into it,
    /// innermost first.
    pub fn places(&self, address: u32) -> Vec<Place> {
        let mut places = Vec::new();
        if let Ok(mut frames) = self
            .context
            .find_frames(u64::from(address & !1))
            .skip_all_loads()
        {
            while let Ok(Some(frame)) = frames.next() {
                let function = frame
                    .function
                    .as_ref()
                    .and_then(|name| name.demangle().ok().map(|name| name.into_owned()));
                let location = frame.location.as_ref();
                places.push(Place {
                    function: function.unwrap_or_else(|| "?".to_owned()),
                    file: location
                        .and_then(|location| location.file)
                        .map(str::to_owned),
                    line: location.and_then(|location| location.line),
                });
            }
        }
        if places.is_empty()
            && let Some(function) = self.symbol_at(address)
        {
            places.push(Place {
                function,
                file: None,
                line: None,
            });
        }
        places
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.function)?;
        if let Some(file) = &self.file {
            write!(f, " ({file}")?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}
