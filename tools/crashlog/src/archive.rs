//! The firmware's build archive: names of tasks, functions and source lines.
//!
//! A Hubris build archive is a zip file with the ELF of each task in a folder called `task`; a
//! task's index is the rank of its ELF among them.

use crate::describe::Names;
use crate::image_id::ImageId;
use crate::problem::{Code, Problem};
use crate::program::Program;
use crate::secrets::Secrets;
use crate::text::printable;
use crate::typed::EventTypes;
use gimli::Section;
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use toml::Table;
use zip::ZipArchive;
use zip::result::ZipError;

/// What the comment of every archive begins with; a version follows.
const COMMENT: &str = "hubris build archive v";
/// How a zip file begins that has any member.
const ZIP_START: &[u8] = b"PK\x03\x04";
/// Length of the longest ELF that is read, in bytes. That of a task has a few hundred KiB to a few
/// MiB.
const ELF_MAX: u64 = 64 << 20;

/// Longest member of text that is read, in bytes.
const TEXT_MAX: u64 = 1 << 20;

/// What tells archives apart, read without the programs of the tasks.
pub struct ArchiveHead {
    path: PathBuf,
    id: ImageId,
    tasks: Vec<String>,
}

/// An open archive.
pub struct Archive {
    path: PathBuf,
    id: ImageId,
    title: String,
    tasks: Vec<Task>,
    kernel: Vec<u8>,
    /// The application's configuration, and that of its chip, as they are in the archive.
    pub config: Config,
    /// The flash of the image: address and bytes of each part; empty if the archive has none. The
    /// initial values of secrets are blanked.
    flash: Vec<(u32, Vec<u8>)>,
    secrets: Secrets,
    /// The types of events of the tasks that have logged any; `None` of a damaged program.
    events: RefCell<HashMap<u16, Option<EventTypes>>>,
}

/// The configuration of the application.
pub struct Config {
    /// `app.toml`.
    pub app: Table,
    /// The table of the chip's peripherals; empty if the archive has none.
    pub chip: Table,
    /// `git-rev`; empty if the archive has none.
    pub revision: String,
}

impl Config {
    fn read(path: &Path, zip: &mut ZipArchive<impl Read + Seek>) -> Result<Self, Problem> {
        let app = table(path, zip, "app.toml")?;
        Ok(Self {
            app: app.ok_or_else(|| damaged(path, "app.toml", "is missing"))?,
            chip: table(path, zip, "chip.toml")?.unwrap_or_default(),
            revision: text(path, zip, "git-rev")?.unwrap_or_default(),
        })
    }

    /// The names of the tasks, as far as it has them.
    fn tasks(&self) -> impl Iterator<Item = &String> {
        let tasks = self.app.get("tasks").and_then(|tasks| tasks.as_table());
        tasks.into_iter().flat_map(Table::keys)
    }
}

struct Task {
    name: String,
    elf: Vec<u8>,
}

/// An archive is refused.
fn refused(path: &Path, why: &str) -> Problem {
    Problem::new(
        Code::Usage,
        format!("{}: is not a Hubris build archive: {why}", path.display()),
    )
}

/// A member of an archive is damaged, or missing.
fn damaged(path: &Path, member: &str, why: &str) -> Problem {
    Problem::new(
        Code::Usage,
        format!(
            "{}: its {} {}; give the archive as the build made it",
            path.display(),
            printable(member.as_bytes()),
            printable(why.as_bytes())
        ),
    )
}

/// Opens the zip file and checks that it is an archive.
fn open_zip(path: &Path) -> Result<ZipArchive<File>, Problem> {
    let failed = |doing: &str, cause: &std::io::Error| Problem::io(path, doing, cause);
    let mut file = File::open(path).map_err(|cause| failed("open it", &cause))?;
    let mut start = Vec::new();
    (&mut file)
        .take(ZIP_START.len() as u64)
        .read_to_end(&mut start)
        .map_err(|cause| failed("read it", &cause))?;
    let zip = ZipArchive::new(file).map_err(|_| {
        // A zip file has its directory at the end.
        let is_start = start == ZIP_START;
        refused(
            path,
            if is_start {
                "the zip file is truncated"
            } else {
                "it is not a zip file"
            },
        )
    })?;
    if !zip.comment().starts_with(COMMENT.as_bytes()) {
        return Err(refused(path, "its comment is not that of one"));
    }
    Ok(zip)
}

impl ArchiveHead {
    /// Reads the head of an archive.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let mut zip = open_zip(path)?;
        let kernel = kernel(path, &mut zip)?;
        check_program(&kernel).map_err(|why| damaged(path, "elf/kernel", why))?;
        let id = image_id(&kernel).ok_or_else(|| {
            refused(
                path,
                "its elf/kernel has no HUBRIS_IMAGE_ID, which says what image it is of",
            )
        })?;
        let names = zip.file_names().flatten();
        let tasks = names.filter_map(|name| task_name(&name)).collect();
        Ok(Self {
            path: path.to_owned(),
            id,
            tasks,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The image that it is of.
    pub fn id(&self) -> ImageId {
        self.id
    }

    /// Whether it has a task of this name.
    pub fn has_task(&self, name: &str) -> bool {
        self.tasks.iter().any(|task| task == name)
    }

    /// Reads the rest of the archive.
    pub fn open(&self) -> Result<Archive, Problem> {
        let path = &self.path;
        let mut zip = open_zip(path)?;
        let kernel = kernel(path, &mut zip)?;
        if image_id(&kernel) != Some(self.id) {
            return Err(refused(path, "it has changed while it was read"));
        }
        let config = Config::read(path, &mut zip)?;
        let tasks = tasks(path, &mut zip)?;
        if tasks.is_empty() {
            return Err(refused(path, "it has no tasks"));
        }
        for name in config.tasks() {
            if !tasks.iter().any(|task| task.name == *name) {
                let why = "is missing: app.toml has a task of this name";
                return Err(damaged(path, &format!("elf/task/{name}"), why));
            }
        }
        let secrets = Secrets::of(tasks.iter().map(|task| task.elf.as_slice()));
        let mut flash = flash(path, &mut zip)?;
        for (address, bytes) in &mut flash {
            secrets.blank(*address, bytes);
        }
        Ok(Archive {
            path: path.clone(),
            id: self.id,
            title: title(path, &mut zip, &config)?,
            tasks,
            kernel,
            config,
            flash,
            secrets,
            events: RefCell::default(),
        })
    }
}

impl Archive {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The image that it is of.
    pub fn id(&self) -> ImageId {
        self.id
    }

    /// Names of application and image, and the revision of their source, as far as it has them.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The name of the board, as the application's configuration has it.
    pub fn board(&self) -> Option<String> {
        Some(self.config.app.get("board")?.as_str()?.to_owned())
    }

    /// Number of tasks.
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// The secrets of its tasks.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The flash of the image: address and bytes of each part; empty if the archive has none. The
    /// initial values of secrets are blanked.
    pub fn flash(&self) -> &[(u32, Vec<u8>)] {
        &self.flash
    }

    /// The kernel.
    pub fn kernel(&self) -> Result<Program, Problem> {
        self.load("the kernel", &self.kernel)
    }

    /// The program of the task with this index and this name; `None` if it has no such task.
    pub fn program(&self, index: u16, name: &str) -> Result<Option<Program>, Problem> {
        let is_it = self.task(index).is_some_and(|own| own == name);
        is_it.then(|| self.program_at(index)).transpose()
    }

    /// The program of the task with this index, whatever its name is.
    pub fn program_at(&self, index: u16) -> Result<Program, Problem> {
        let task = self.tasks.get(usize::from(index)).ok_or_else(|| {
            let why = format!("{}: has no task {index}", self.path.display());
            Problem::new(Code::Usage, why)
        })?;
        self.load(&format!("task {}", task.name), &task.elf)
    }

    fn load(&self, what: &str, elf: &[u8]) -> Result<Program, Problem> {
        let refused =
            |why: &str| Problem::new(Code::Usage, format!("{}: {why}", self.path.display()));
        let program =
            Program::load(elf).ok_or_else(|| refused(&format!("the ELF of {what} is damaged")))?;
        if program.dwarf.debug_info.reader().is_empty() {
            return Err(refused(&format!(
                "the ELF of {what} has no debug information (.debug_info); give the archive as the build made it"
            )));
        }
        Ok(program)
    }
}

/// The member `elf/kernel`.
fn kernel(path: &Path, zip: &mut ZipArchive<impl Read + Seek>) -> Result<Vec<u8>, Problem> {
    let elf = member(path, zip, "elf/kernel", ELF_MAX)?;
    elf.ok_or_else(|| refused(path, "it has no elf/kernel"))
}

/// The id of the image that this kernel is of.
fn image_id(kernel: &[u8]) -> Option<ImageId> {
    let file = object::File::parse(kernel).ok()?;
    let symbol = file
        .symbols()
        .find(|symbol| symbol.name() == Ok("HUBRIS_IMAGE_ID"))?;
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    let bytes = section.data_range(symbol.address(), 8).ok()??;
    ImageId::known(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// The bytes of a member, of at most `longest` bytes; `None` if there is none.
fn member(
    path: &Path,
    zip: &mut ZipArchive<impl Read + Seek>,
    name: &str,
    longest: u64,
) -> Result<Option<Vec<u8>>, Problem> {
    let Some(index) = zip.index_for_name(name) else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    // The sum is checked at the end of the member.
    let member = zip.by_index(index);
    let read = member.and_then(|member| Ok(member.take(longest + 1).read_to_end(&mut bytes)?));
    if let Err(cause) = read {
        let cause = match cause {
            ZipError::Io(cause) => cause.to_string(),
            other => other.to_string(),
        };
        return Err(damaged(path, name, &format!("is damaged: {cause}")));
    }
    if bytes.len() as u64 > longest {
        let why = format!("has more than {longest} bytes");
        return Err(damaged(path, name, &why));
    }
    Ok(Some(bytes))
}

/// A member that is text; `None` if there is none.
fn text(
    path: &Path,
    zip: &mut ZipArchive<impl Read + Seek>,
    name: &str,
) -> Result<Option<String>, Problem> {
    let bytes = member(path, zip, name, TEXT_MAX)?;
    let text = bytes.map(String::from_utf8).transpose();
    text.map_err(|_| damaged(path, name, "is no text in UTF-8"))
}

/// A member that is TOML; `None` if there is none.
fn table(
    path: &Path,
    zip: &mut ZipArchive<impl Read + Seek>,
    name: &str,
) -> Result<Option<Table>, Problem> {
    let text = text(path, zip, name)?;
    let table = text.map(|text| text.parse::<Table>()).transpose();
    table.map_err(|cause| {
        let why = cause.message().lines().next().unwrap_or_default();
        damaged(path, name, &format!("is no TOML ({why})"))
    })
}

/// Checks that an ELF is whole.
fn check_elf(elf: &[u8]) -> Result<object::File<'_>, &'static str> {
    let cut = "is cut short, or no ELF file";
    let file = object::File::parse(elf).map_err(|_| cut)?;
    let mut sections = file.sections();
    let is_whole = sections.all(|section| section.data().is_ok());
    is_whole.then_some(file).ok_or(cut)
}

/// Checks that the ELF of a program is whole.
fn check_program(elf: &[u8]) -> Result<(), &'static str> {
    let text = check_elf(elf)?.section_by_name(".text").map(|_| ());
    text.ok_or("is the ELF file of no program: it has no section .text")
}

/// The flash of the image: what `img/final.elf` loads.
fn flash(
    path: &Path,
    zip: &mut ZipArchive<impl Read + Seek>,
) -> Result<Vec<(u32, Vec<u8>)>, Problem> {
    let name = "img/final.elf";
    let Some(elf) = member(path, zip, name, ELF_MAX)? else {
        return Ok(Vec::new());
    };
    let file = check_elf(&elf).map_err(|why| damaged(path, name, why))?;
    let segments = file.segments().filter_map(|segment| {
        let address = u32::try_from(segment.address()).ok()?;
        Some((address, segment.data().ok()?.to_vec()))
    });
    Ok(segments.filter(|(_, bytes)| !bytes.is_empty()).collect())
}

/// Names of application and image, and the revision of their source.
fn title(
    path: &Path,
    zip: &mut ZipArchive<impl Read + Seek>,
    config: &Config,
) -> Result<String, Problem> {
    let name = config.app.get("name").and_then(|name| name.as_str());
    let mut parts: Vec<_> = name.map(str::to_owned).into_iter().collect();
    parts.extend(text(path, zip, "image-name")?);
    if !config.revision.is_empty() {
        parts.push(format!("(git {:.12})", config.revision));
    }
    Ok(parts.join(" "))
}

/// The name of the task whose ELF is the member `path`.
pub fn task_name(path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/')?;
    let parent = folder.rsplit('/').next()?;
    (parent == "task" && !name.is_empty()).then(|| name.to_owned())
}

/// All members of the folder `task`, in order.
fn tasks(path: &Path, zip: &mut ZipArchive<impl Read + Seek>) -> Result<Vec<Task>, Problem> {
    let all: Vec<String> = zip
        .file_names()
        .flatten()
        .map(|it| it.into_owned())
        .collect();
    let mut tasks = Vec::new();
    for member_name in all {
        // The name of a folder ends with a slash.
        let Some(name) = task_name(&member_name) else {
            continue;
        };
        let elf = member(path, zip, &member_name, ELF_MAX)?.unwrap_or_default();
        check_program(&elf).map_err(|why| damaged(path, &member_name, why))?;
        tasks.push(Task { name, elf });
    }
    Ok(tasks)
}

impl Names for Archive {
    fn function(&self, task: u16, address: u32) -> Option<String> {
        let places = self.program_at(task).ok()?.places(address);
        // What of the library is inlined into a function says little.
        let of_library = |name: &str| name.starts_with("core::") || name.starts_with('<');
        let own = places.iter().find(|place| !of_library(&place.function));
        own.or(places.last()).map(|place| place.function.clone())
    }

    fn event(&self, task: u16, name: &str, bytes: &[u8]) -> Option<String> {
        let mut events = self.events.borrow_mut();
        let types = events.entry(task).or_insert_with(|| {
            let program = Program::load(&self.tasks.get(usize::from(task))?.elf)?;
            Some(EventTypes::new(program.debug_info()))
        });
        types.as_mut()?.show(name, bytes)
    }

    fn task(&self, index: u16) -> Option<String> {
        self.tasks
            .get(usize::from(index))
            .map(|task| task.name.clone())
    }
}
