//! The firmware's build archive: names of tasks, functions and source lines.
//!
//! A Hubris build archive is a zip file with the ELF of each task in a folder called `task`; a
//! task's index is the rank of its ELF among them.

use crate::archives::ImageId;
use crate::describe::Names;
use crate::problem::{Code, Problem};
use crate::program::Program;
use crate::secrets::Secrets;
use crate::typed::{self, Shape};
use gimli::Section;
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

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
    /// The shapes of event types that were searched already, by task and name.
    shapes: RefCell<HashMap<(u16, String), Option<Shape>>>,
}

/// Text members of an archive; empty if it has them not.
#[derive(Default)]
pub struct Config {
    /// `app.toml`.
    pub app: String,
    /// The table of the chip's peripherals.
    pub chip: String,
    /// `git-rev`.
    pub revision: String,
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
        let tasks = tasks(&mut zip).map_err(|cause| refused(path, &cause.to_string()))?;
        if tasks.is_empty() {
            return Err(refused(path, "it has no tasks"));
        }
        let secrets = Secrets::of(tasks.iter().map(|task| task.elf.as_slice()));
        let mut flash = flash(&mut zip);
        for (address, bytes) in &mut flash {
            secrets.blank(*address, bytes);
        }
        Ok(Archive {
            path: path.clone(),
            id: self.id,
            title: title(&mut zip),
            tasks,
            kernel,
            config: Config {
                app: text(&mut zip, "app.toml").unwrap_or_default(),
                chip: text(&mut zip, "chip.toml").unwrap_or_default(),
                revision: text(&mut zip, "git-rev").unwrap_or_default(),
            },
            flash,
            secrets,
            shapes: RefCell::default(),
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
        let app = self.config.app.parse::<toml::Table>().ok()?;
        Some(app.get("board")?.as_str()?.to_owned())
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
        self.load(&format!("task {name}"), &task.elf)
    }

    /// The program of the task with this index, whatever its name is.
    pub fn program_at(&self, index: u16) -> Result<Program, Problem> {
        let name = self.task(index).unwrap_or_default();
        self.program(index, &name)
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
    let member = zip.by_name("elf/kernel");
    let member = member.map_err(|_| refused(path, "it has no elf/kernel"))?;
    let mut elf = Vec::new();
    member
        .take(ELF_MAX)
        .read_to_end(&mut elf)
        .map_err(|_| refused(path, "its elf/kernel is damaged"))?;
    Ok(elf)
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

/// A member that is text; `None` if there is none.
fn text(zip: &mut ZipArchive<impl Read + Seek>, name: &str) -> Option<String> {
    let mut text = String::new();
    let member = zip.by_name(name).ok()?;
    member.take(TEXT_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The flash of the image: what `img/final.elf` loads.
fn flash(zip: &mut ZipArchive<impl Read + Seek>) -> Vec<(u32, Vec<u8>)> {
    let mut elf = Vec::new();
    let read = zip
        .by_name("img/final.elf")
        .ok()
        .and_then(|member| member.take(ELF_MAX).read_to_end(&mut elf).ok());
    let file = read.and_then(|_| object::File::parse(&*elf).ok());
    let segments = file.iter().flat_map(|file| file.segments());
    let segments = segments.filter_map(|segment| {
        let address = u32::try_from(segment.address()).ok()?;
        Some((address, segment.data().ok()?.to_vec()))
    });
    segments.filter(|(_, bytes)| !bytes.is_empty()).collect()
}

/// Names of application and image, and the revision of their source.
fn title(zip: &mut ZipArchive<impl Read + Seek>) -> String {
    let mut text = |name: &str| text(zip, name);
    let manifest = text("app.toml").unwrap_or_default();
    let name = manifest
        .lines()
        .take_while(|line| !line.starts_with('['))
        .find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let mut parts: Vec<_> = name.map(str::to_owned).into_iter().collect();
    parts.extend(text("image-name"));
    parts.extend(text("git-rev").map(|revision| format!("(git {revision:.12})")));
    parts.join(" ")
}

/// The name of the task whose ELF is the member `path`.
pub fn task_name(path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/')?;
    let parent = folder.rsplit('/').next()?;
    (parent == "task" && !name.is_empty()).then(|| name.to_owned())
}

/// All members of the folder `task`, in order.
fn tasks(zip: &mut ZipArchive<impl Read + Seek>) -> zip::result::ZipResult<Vec<Task>> {
    let mut tasks = Vec::new();
    for index in 0..zip.len() {
        let member = zip.by_index(index)?;
        let name = task_name(&member.name()?).filter(|_| member.is_file());
        let Some(name) = name else {
            continue;
        };
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
