//! The firmware's build archive: names of tasks, functions and source lines.
//!
//! A Hubris build archive is a zip file with the ELF of each task in a folder called `task`; a task's index is the rank
//! of its ELF among them.

use crate::describe::Names;
use crate::problem::{Code, Problem};
use crate::typed::{self, Shape};
use addr2line::Context;
use gimli::{Dwarf, EndianArcSlice, LittleEndian};
use object::{Object, ObjectSection};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zip::ZipArchive;

/// What the comment of every archive begins with; a version follows.
const COMMENT: &str = "hubris build archive v";
/// Length of the longest ELF that is read, in bytes. That of a task has a few hundred KiB to a few MiB.
const ELF_MAX: u64 = 64 << 20;

/// An open archive.
pub struct Archive {
    path: PathBuf,
    tasks: Vec<Task>,
    kernel: Option<Vec<u8>>,
    /// The shapes of event types that were searched already, by task and name.
    shapes: RefCell<HashMap<(u16, String), Option<Shape>>>,
}

struct Task {
    name: String,
    elf: Vec<u8>,
}

/// A place in the source of a program.
pub struct Place {
    pub function: String,
    pub file: Option<String>,
    pub line: Option<u32>,
}

impl Archive {
    /// Reads an archive.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let file = File::open(path).map_err(|cause| Problem::io(path, "open it", &cause))?;
        let refused = |why: &str| {
            Problem::new(
                Code::Usage,
                format!("{}: is not a Hubris build archive: {why}", path.display()),
            )
        };
        let mut zip = ZipArchive::new(file).map_err(|_| refused("it is not a zip file"))?;
        if !zip.comment().starts_with(COMMENT.as_bytes()) {
            return Err(refused("its comment is not that of one"));
        }
        let tasks = tasks(&mut zip).map_err(|cause| refused(&cause.to_string()))?;
        if tasks.is_empty() {
            return Err(refused("it has no tasks"));
        }
        let kernel = kernel(&mut zip);
        Ok(Self {
            path: path.to_owned(),
            tasks,
            kernel,
            shapes: RefCell::default(),
        })
    }

    /// The kernel, if the archive has it.
    pub fn kernel(&self) -> Option<Program> {
        Program::load(self.kernel.as_deref()?)
    }

    /// The program of the task with this index, which has to have this name in the archive, too.
    pub fn program(&self, index: u16, name: &str) -> Result<Program, Problem> {
        let task = self.tasks.get(usize::from(index)).filter(|task| task.name == name).ok_or_else(|| {
            Problem::new(
                Code::Usage,
                format!(
                    "{}: is of another firmware: its task {index} is not \"{name}\"; give the archive of the firmware that \
                     crashed",
                    self.path.display()
                ),
            )
        })?;
        Program::load(&task.elf).ok_or_else(|| {
            Problem::new(
                Code::Usage,
                format!("{}: the ELF of task {name} is damaged", self.path.display()),
            )
        })
    }
}

/// The member `elf/kernel`.
fn kernel(zip: &mut ZipArchive<impl Read + Seek>) -> Option<Vec<u8>> {
    let mut elf = Vec::new();
    let member = zip.by_name("elf/kernel").ok()?;
    member.take(ELF_MAX).read_to_end(&mut elf).ok()?;
    Some(elf)
}

/// All members of the folder `task`, in order.
fn tasks(zip: &mut ZipArchive<impl Read + Seek>) -> zip::result::ZipResult<Vec<Task>> {
    let mut tasks = Vec::new();
    for index in 0..zip.len() {
        let member = zip.by_index(index)?;
        let path = PathBuf::from(&*member.name()?);
        let parent = path.parent().and_then(Path::file_name);
        let Some(name) = path
            .file_name()
            .filter(|_| parent.is_some_and(|parent| parent == "task") && member.is_file())
        else {
            continue;
        };
        let name = name.to_string_lossy().into_owned();
        let mut elf = Vec::new();
        member.take(ELF_MAX).read_to_end(&mut elf)?;
        tasks.push(Task { name, elf });
    }
    Ok(tasks)
}

impl Names for Archive {
    fn event(&self, task: u16, name: &str, bytes: &[u8]) -> Option<String> {
        let mut shapes = self.shapes.borrow_mut();
        let shape = shapes.entry((task, name.to_owned())).or_insert_with(|| {
            let program = Program::load(&self.tasks.get(usize::from(task))?.elf)?;
            typed::find(&program.dwarf, name)
        });
        typed::show(shape.as_ref()?, bytes)
    }

    fn task(&self, index: u16) -> Option<String> {
        self.tasks
            .get(usize::from(index))
            .map(|task| task.name.clone())
    }
}

/// Stands in for an archive that was not given: it has no names.
struct Nameless;

impl Names for Nameless {
    fn task(&self, _index: u16) -> Option<String> {
        None
    }
}

/// The names in the archive, if there is one.
pub fn names(archive: Option<&Archive>) -> &dyn Names {
    match archive {
        Some(archive) => archive,
        None => &Nameless,
    }
}

/// The bytes that `gimli` reads; several readers share them.
pub type Slice = EndianArcSlice<LittleEndian>;

/// A program with its debug information.
pub struct Program {
    context: Context<Slice>,
    dwarf: Arc<Dwarf<Slice>>,
    /// The call frame information.
    pub frames: Slice,
    /// Start and end address of the text.
    text: (u64, u64),
}

impl Program {
    fn load(elf: &[u8]) -> Option<Self> {
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
        })
    }

    /// Whether the address is in the text.
    pub fn is_text(&self, address: u32) -> bool {
        (self.text.0..self.text.1).contains(&u64::from(address & !1))
    }

    /// The function of the instruction at this address, preceded by those that are inlined into it, innermost first.
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
