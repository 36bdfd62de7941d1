//! Which build archive belongs to what is on a card: it is picked by image id.
//!
//! A crash names its image. An archive of another image has other functions at the same addresses,
//! and other tasks under the same indices, so it is used only where the user insists, and then it
//! is said.

use crate::archive::{Archive, ArchiveHead};
use crate::cli::ArchiveArgs;
use crate::describe::{Nameless, Names};
use crate::image_id::ImageId;
use crate::output;
use crate::problem::{self, Code, Problem};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The environment variable that is used if there is no `--archive`.
const VARIABLE: &str = "CRASHLOG_ARCHIVES";

/// The archives that were given.
pub struct Archives {
    heads: Vec<ArchiveHead>,
    mismatch_ok: bool,
}

/// What is shown of a boot without an archive.
const NUMBERS: &str = "tasks and types are shown as numbers";

/// The archive to use for something on the card.
enum Choice<'a> {
    /// That of its image.
    Fitting(&'a ArchiveHead),
    /// That of another image, because the user insists.
    Other(&'a ArchiveHead),
    /// None of those that were given.
    None,
}

impl Archives {
    /// Looks at all archives that the command line names or, if it names none, the environment. A
    /// file that is no archive is refused; in a folder it is left out, with a warning.
    pub fn given(args: &ArchiveArgs) -> Result<Self, Problem> {
        let mut paths = args.archive.clone();
        if paths.is_empty() {
            let variable = std::env::var_os(VARIABLE).unwrap_or_default();
            paths = std::env::split_paths(&variable)
                .filter(|path| !path.as_os_str().is_empty())
                .collect();
        }
        if args.archive_mismatch_ok && paths.is_empty() {
            return Err(Problem::new(
                Code::Usage,
                format!(
                    "--archive-mismatch-ok: no archive is given; give --archive or set {VARIABLE}"
                ),
            ));
        }
        let mut heads = Vec::new();
        for path in &paths {
            if !path.is_dir() {
                heads.push(ArchiveHead::read(path)?);
                continue;
            }
            let files = zip_files(path)?;
            if files.is_empty() {
                return Err(Problem::new(
                    Code::Usage,
                    format!(
                        "{}: the folder has no file *.zip; give a folder of build archives",
                        path.display()
                    ),
                ));
            }
            for file in files {
                match ArchiveHead::read(&file) {
                    Ok(head) => heads.push(head),
                    Err(problem) => warn(&format!("{problem}; it is left out")),
                }
            }
        }
        Ok(Self {
            heads,
            mismatch_ok: args.archive_mismatch_ok,
        })
    }

    /// Whether there is any archive.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Refuses one of them as the output of a command.
    pub fn refuse_as_output(&self, path: &Path) -> Result<(), Problem> {
        let mut heads = self.heads.iter();
        heads.try_for_each(|head| output::refuse_input(path, head.path(), "an archive"))
    }

    /// Whether any archive has a task of this name.
    pub fn have_task(&self, name: &str) -> bool {
        self.heads.iter().any(|head| head.has_task(name))
    }

    /// The archive for `what`, which is of image `id`; says so if none fits. `without` says what
    /// the user gets then.
    pub fn pick(
        &self,
        what: &str,
        id: Option<ImageId>,
        without: &str,
    ) -> Result<Option<Archive>, Problem> {
        match self.choose(id) {
            Choice::Fitting(head) => head.open().map(Some),
            Choice::Other(head) => {
                warn(&format!(
                    "WARNING: {what} is of {}, but {} is of image {}: names, functions and lines may all be wrong",
                    image(id),
                    head.path().display(),
                    head.id()
                ));
                head.open().map(Some)
            }
            Choice::None if self.is_empty() => Ok(None),
            Choice::None => {
                warn(&format!(
                    "{what} is of {}, and {}: {without}; {}--archive-mismatch-ok uses another all the same",
                    image(id),
                    self.others(),
                    match id {
                        Some(_) => "give the archive of that image, or ",
                        None => "",
                    }
                ));
                Ok(None)
            }
        }
    }

    /// The archive for `what`, which is of image `id`, without which a command cannot do its work.
    pub fn need(&self, what: &str, id: Option<ImageId>) -> Result<Archive, Problem> {
        let none = |why: String| Problem::new(Code::Usage, why);
        match self.choose(id) {
            Choice::None if self.is_empty() => Err(none(format!(
                "{what} is of {}: give its build archive by --archive, or by the variable {VARIABLE}",
                image(id)
            ))),
            Choice::None => Err(none(format!(
                "{what} is of {}, and {}; give the archive of that image",
                image(id),
                self.others()
            ))),
            Choice::Fitting(_) | Choice::Other(_) => match self.pick(what, id, "")? {
                Some(archive) => Ok(archive),
                None => Err(none(format!("{what}: there is no archive"))),
            },
        }
    }

    /// Of several archives of one image the first is taken: they have the same programs.
    fn choose(&self, id: Option<ImageId>) -> Choice<'_> {
        let fitting = self.heads.iter().find(|head| Some(head.id()) == id);
        match (fitting, self.heads.first()) {
            (Some(head), _) => Choice::Fitting(head),
            (None, Some(head)) if self.mismatch_ok => Choice::Other(head),
            _ => Choice::None,
        }
    }

    /// What was given instead of the archive that fits.
    fn others(&self) -> String {
        match self.heads.as_slice() {
            [head] => format!("{} is of image {}", head.path().display(), head.id()),
            heads => format!("none of the {} archives is", heads.len()),
        }
    }
}

/// The image in words.
fn image(id: Option<ImageId>) -> String {
    id.map_or("an image that it does not name".to_owned(), |id| {
        format!("image {id}")
    })
}

/// The files `*.zip` of a folder, sorted.
fn zip_files(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let failed = |cause: &std::io::Error| Problem::io(folder, "read the folder", cause);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|cause| failed(&cause))? {
        let path = entry.map_err(|cause| failed(&cause))?.path();
        if path.extension().is_some_and(|extension| extension == "zip") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Number of boots whose images are kept: a log may be of millions.
const BOOTS_KEPT: usize = 4096;

/// The names for each boot in a log.
pub struct BootNames<'a> {
    archives: &'a Archives,
    /// The image of each boot that is known.
    images: BTreeMap<u32, ImageId>,
    /// The archive of each boot that was looked up; several boots share one.
    boots: BTreeMap<u32, Option<usize>>,
    opened: Vec<(Option<ImageId>, Archive)>,
    missing: BTreeSet<ImageId>,
}

impl<'a> BootNames<'a> {
    /// `images` has the image of each boot that is known.
    pub fn new(archives: &'a Archives, images: BTreeMap<u32, ImageId>) -> Self {
        Self {
            archives,
            images,
            boots: BTreeMap::new(),
            opened: Vec::new(),
            missing: BTreeSet::new(),
        }
    }

    /// The image of a boot is this one, says its boot record.
    pub fn learn(&mut self, boot: u32, image: ImageId) {
        // The log goes on, and boots that are over are not asked for again.
        if self.images.len() >= BOOTS_KEPT {
            self.images.retain(|known, _| *known >= boot);
            self.boots.clear();
        }
        if self.images.insert(boot, image) != Some(image) {
            self.boots.remove(&boot);
        }
    }

    /// The names of a boot. Says once for each image if there is no archive of it, and of each boot
    /// if its image is not known.
    pub fn of(&mut self, boot: u32) -> Result<&dyn Names, Problem> {
        let index = match self.boots.get(&boot) {
            Some(index) => *index,
            None => {
                let index = self.find(boot)?;
                self.boots.insert(boot, index);
                index
            }
        };
        let archive = index.and_then(|index| self.opened.get(index));
        Ok(names(archive.map(|(_, archive)| archive)))
    }

    fn find(&mut self, boot: u32) -> Result<Option<usize>, Problem> {
        let id = self.images.get(&boot).copied();
        if let Some(index) = self.opened.iter().position(|(opened, _)| *opened == id) {
            return Ok(Some(index));
        }
        let Some(known) = id else {
            return self.find_unknown(boot);
        };
        if !self.missing.insert(known) {
            return Ok(None);
        }
        let archive = self.archives.pick(&format!("boot {boot}"), id, NUMBERS)?;
        Ok(archive.map(|archive| self.keep(id, archive)))
    }

    /// The archive of a boot whose image is not known: none, unless the user insists.
    fn find_unknown(&mut self, boot: u32) -> Result<Option<usize>, Problem> {
        if self.archives.is_empty() {
            return Ok(None);
        }
        let what = format!("boot {boot}");
        if self.archives.mismatch_ok {
            let archive = self.archives.pick(&what, None, NUMBERS)?;
            return Ok(archive.map(|archive| self.keep(None, archive)));
        }
        warn(&format!(
            "{what} has no known build, as neither its boot record nor a crash of it is on the card: {NUMBERS}; \
             --archive-mismatch-ok uses the first archive all the same"
        ));
        Ok(None)
    }

    fn keep(&mut self, id: Option<ImageId>, archive: Archive) -> usize {
        self.opened.push((id, archive));
        self.opened.len() - 1
    }
}

/// The names in the archive, if there is one.
pub fn names(archive: Option<&Archive>) -> &dyn Names {
    archive.map_or(&Nameless, |archive| archive)
}

/// Prints one line on standard error.
pub fn warn(text: &str) {
    problem::tell(text);
}
