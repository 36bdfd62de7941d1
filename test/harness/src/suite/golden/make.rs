//! Makes the golden cards: runs in QEMU, small enough for the tree.

use super::{BUILDS, IMAGE, files, strip, transcript};
use crate::artefacts::Artefacts;
use crate::build::{self, DEMO, Image};
use crate::evidence::Expected;
use crate::machine::{Config, Machine};
use crate::paths;
use crate::qemu::Qemu;
use crate::sabotage::{APP, Deed, Failing, Stop, Work};
use crate::suite::Rig;
use crate::suite::matrix::scene::Scene;
use crate::tool::Tool;
use anyhow::{Context, Result, ensure};
use block_device::BLOCK_LEN;
use crashlog_format::crash::CrashHeader;
use crashlog_format::{FormatId, Geometry};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;
use zip::ZipArchive;

/// What a card is made with: little, but a slot holds the memory of a whole system.
const FORMAT: [&str; 7] = [
    "format",
    "--size",
    "8M",
    "--slots",
    "6",
    "--slot-size",
    "256K",
];
/// Real time for a boot, and for the demo's crash.
const LIMIT: Duration = Duration::from_secs(120);

/// The function of the kernel that handles interrupts, and `udf #0` in Thumb, its instruction set.
const INTERRUPT: &str = "kern::arch::arm_a::entry::interrupt";
const UNDEFINED: [u8; 2] = [0x00, 0xde];

/// The applications with the names of their archives, and with the types of which the log has
/// values: no variable has them.
const BUILT: [(&str, &str, &[&str]); 2] = [
    (APP, "saboteur.zip", &[]),
    (DEMO, "demo.zip", &["SensorEvent"]),
];
/// Members of an archive that the host tool does not read.
const UNREAD: [&str; 3] = ["README.TXT", "img/final.bin", "img/flash.ron"];

/// What the cards are made with.
pub struct Maker {
    qemu: Qemu,
    tool: Tool,
    images: Vec<(&'static str, Image)>,
}

impl Maker {
    /// Builds tool and images.
    pub fn new() -> Result<Self> {
        let images = BUILT.iter().map(|(app, ..)| Ok((*app, build::dist(app)?)));
        Ok(Self {
            qemu: Qemu::find()?,
            tool: Tool::build()?,
            images: images.collect::<Result<_>>()?,
        })
    }

    fn image(&self, app: &str) -> Result<&Image> {
        let found = self.images.iter().find(|(own, _)| *own == app);
        Ok(&found.context("the application is not built")?.1)
    }

    /// What a run with the image of an application works with.
    pub fn rig(&self, app: &str, name: &str) -> Result<Rig> {
        Ok(Rig {
            qemu: self.qemu.clone(),
            tool: self.tool.clone(),
            image: self.image(app)?.clone(),
            artefacts: Artefacts::new(name)?,
        })
    }

    fn saboteur(&self, name: &str) -> Result<Rig> {
        self.rig(APP, &format!("golden-{name}"))
    }

    /// Writes the archives, without what the tool does not read.
    pub fn builds(&self) -> Result<()> {
        let mut archives = Vec::new();
        for (app, name, types) in BUILT {
            let mut zip = ZipArchive::new(File::open(&self.image(app)?.archive)?)?;
            let comment = String::from_utf8(zip.comment().to_vec())?;
            let mut members = Vec::new();
            for index in 0..zip.len() {
                let mut member = zip.by_index(index)?;
                let name = member.name()?.into_owned();
                let mut bytes = Vec::new();
                member.read_to_end(&mut bytes)?;
                if UNREAD.contains(&name.as_str()) {
                    continue;
                }
                if name.starts_with("elf/") {
                    bytes = strip::program(&bytes, types).with_context(|| name.clone())?;
                }
                members.push((name, bytes));
            }
            let bytes = files::zip(&comment, &members)?;
            let root = paths::root().canonicalize()?;
            let root = root.to_string_lossy();
            let has_path = bytes
                .windows(root.len())
                .any(|part| part == root.as_bytes());
            ensure!(!has_path, "{app}: the archive has the path {root}");
            archives.push((name.to_owned(), bytes));
        }
        files::write_builds(&archives)
    }

    /// The transcript of a card with the archives as the build made them.
    pub fn with_whole_archives(&self, rig: &Rig, name: &str) -> Result<String> {
        let folder = rig.artefacts.path("whole");
        fs::create_dir_all(folder.join(BUILDS))?;
        fs::write(folder.join(IMAGE), files::read(name)?)?;
        for (app, name, _) in BUILT {
            fs::copy(&self.image(app)?.archive, folder.join(BUILDS).join(name))?;
        }
        transcript::of(&self.tool, &folder)
    }
}

fn new_card(rig: &Rig) -> Result<PathBuf> {
    let card = rig.artefacts.path(IMAGE);
    let arguments = FORMAT.map(AsRef::as_ref);
    rig.tool
        .bytes(arguments.into_iter().chain([card.as_os_str()]))?;
    Ok(card)
}

/// A machine before its first instruction, with a new card.
fn scene(rig: &Rig) -> Result<Scene<'_>> {
    Scene::with(rig, new_card(rig)?)
}

/// The demo's worker accesses memory that it may not access.
pub fn client_panic(maker: &Maker) -> Result<PathBuf> {
    crash_demo(maker, "client-panic")
}

fn crash_demo(maker: &Maker, name: &str) -> Result<PathBuf> {
    let rig = maker.rig(DEMO, &format!("golden-{name}"))?;
    let card = new_card(&rig)?;
    let config = Config::new(&rig.image, Some(&card));
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    machine.uart5.wait_for("ready; boot 2", LIMIT)?;
    machine.quit()?;
    Ok(card)
}

/// The recorder fails in a flush, behind the first command.
pub fn recorder_in_write(maker: &Maker) -> Result<PathBuf> {
    let rig = maker.saboteur("recorder-in-write")?;
    let mut scene = scene(&rig)?;
    scene.begin()?;
    scene.system.work(Work::Flush(12), 0, Deed::Nothing)?;
    scene.system.go_to_command(1)?;
    let accepted = scene.system.seen()?.accepted;
    scene.derail()?;
    scene.recovers(&[Expected::panic("crashlog")], accepted)?;
    Ok(scene.card.clone())
}

/// The kernel executes an undefined instruction.
pub fn kernel_failure(maker: &Maker) -> Result<PathBuf> {
    let rig = maker.saboteur("kernel-failure")?;
    let mut scene = scene(&rig)?;
    scene.begin()?;
    // The reset loads the image again.
    let at = scene.system.symbols.address("kernel", INTERRUPT)?;
    scene.system.debugger.set_memory(at & !1, &UNDEFINED)?;
    scene.system.work(Work::Sleep(1_000), 0, Deed::Nothing)?;
    scene.boot()?;
    // The next boot writes the snapshot behind the crash, piece by piece.
    scene.system.work(Work::Sleep(500), 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    Ok(scene.card.clone())
}

/// A task whose stack overflows.
pub fn stack_overflow(maker: &Maker) -> Result<PathBuf> {
    let rig = maker.saboteur("stack-overflow")?;
    overflow(scene(&rig)?)
}

fn overflow(mut scene: Scene<'_>) -> Result<PathBuf> {
    scene.begin()?;
    let work = Work::Fail {
        fatal: true,
        how: Failing::STACK,
    };
    scene.system.work(work, 0, Deed::Nothing)?;
    scene.boot()?;
    Ok(scene.card.clone())
}

/// A task that is restarted alone, and fails in the same way a second time.
pub fn oops(maker: &Maker) -> Result<PathBuf> {
    let rig = maker.saboteur("oops")?;
    let mut scene = scene(&rig)?;
    scene.begin()?;
    for _ in 0..2 {
        let work = Work::Fail {
            fatal: false,
            how: Failing::NULL,
        };
        scene.system.work(work, 0, Deed::Nothing)?;
        scene.system.go_to(Stop::Done)?;
        scene.system.go_to(Stop::Ready)?;
    }
    scene.system.work(Work::Sleep(500), 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    Ok(scene.card.clone())
}

/// A boot that logs.
pub fn no_crash(maker: &Maker) -> Result<PathBuf> {
    let rig = maker.saboteur("no-crash")?;
    let mut scene = scene(&rig)?;
    scene.begin()?;
    scene.system.work(Work::Append(12), 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    Ok(scene.card.clone())
}

/// A crash of each of two firmwares, in which tasks have other indices.
pub fn two_firmwares(maker: &Maker) -> Result<PathBuf> {
    let card = crash_demo(maker, "first-firmware")?;
    let rig = maker.saboteur("two-firmwares")?;
    overflow(Scene::with(&rig, card)?)
}

/// A stack overflow with one block of its snapshot changed.
pub fn damaged_snapshot(maker: &Maker) -> Result<PathBuf> {
    let rig = maker.saboteur("damaged-snapshot")?;
    let card = overflow(scene(&rig)?)?;
    let list = ["list", "--json"].map(AsRef::as_ref);
    let list = maker
        .tool
        .json(list.into_iter().chain([card.as_os_str()]))?;
    let number = |name: &str| {
        list["card"][name]
            .as_u64()
            .with_context(|| format!("`list` has no {name}"))
    };
    let format = list["card"]["format"]
        .as_str()
        .context("`list` has no format")?;
    let format = FormatId::new(u64::from_str_radix(format, 16)?);
    let slot_blocks = u32::try_from(number("slot_bytes")? / BLOCK_LEN as u64)?;
    let slots = u32::try_from(number("slots")?)?;
    let geometry = Geometry::new(number("blocks")?, slots, slot_blocks)
        .map_err(|_| anyhow::anyhow!("no geometry"))?;
    let first = number("first_block")?;
    let file = File::options().read(true).write(true).open(&card)?;
    for slot in 0..slots {
        let slot = geometry.slot(slot).context("no slot")?;
        let mut bytes = [0; BLOCK_LEN];
        let at = |block: u32| (first + u64::from(block)) * BLOCK_LEN as u64;
        file.read_exact_at(&mut bytes, at(slot))?;
        let Ok((header, segments)) = CrashHeader::parse(&bytes, format, slot_blocks) else {
            continue;
        };
        let behind = CrashHeader::snapshot_block(&segments[..header.segments()]);
        // Behind header and tables of the snapshot.
        let block = at(slot + behind + 24);
        file.read_exact_at(&mut bytes, block)?;
        bytes[100] ^= 0x10;
        file.write_all_at(&bytes, block)?;
        return Ok(card);
    }
    anyhow::bail!("there is no crash on the card")
}

/// A card that was never formatted.
pub fn no_partition(maker: &Maker) -> Result<PathBuf> {
    let rig = maker.saboteur("no-partition")?;
    let card = rig.artefacts.path(IMAGE);
    File::create(&card)?.set_len(1 << 20)?;
    Ok(card)
}
