//! Generates constants from the configuration, the notifications, the IPC server.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail};
use crashlog_format::boot::{COMMIT_MAX, NAME_MAX};
use crashlog_format::{BootEnds, BootRecord, Geometry};
use serde::Deserialize;

/// Operations that show what others have recorded, erase it, or say when it was: closed unless the
/// configuration says who may use them.
const CLOSED: [&str; 6] = [
    "crash_info",
    "read_crash",
    "erase_crash",
    "acknowledge_crash",
    "read_page",
    "set_time",
];

/// `[tasks.crashlog.config]` of `app.toml`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct CrashlogConfig {
    /// What the controller's registers are.
    #[serde(default)]
    controller_kind: ControllerKind,
    /// Address of the controller's registers; of an SD host controller, those of the slot.
    controller: u32,
    /// Frequency of the controller's base clock in kHz; 0 if its Capabilities register says it.
    base_clock_khz: u32,
    /// Highest clock in kHz that the wiring between controller and card allows.
    max_clock_khz: u32,
    /// Data lines that are wired: 1, 4 or 8.
    data_lines: u8,
    /// Is the slot's card-detect signal wired? A soldered eMMC may have none.
    card_detect: bool,
    /// The kind of card that identification tries first. The other kind works too, but is
    /// identified later.
    card: ConfiguredCard,
    /// Use the volatile cache of the card, if it has one?
    card_cache: bool,
    /// Name of the GPT partition.
    partition: String,
    /// Bytes of the log ring that one client may hold at a time.
    quota: u32,
    /// Age in milliseconds at which the oldest log record that is not on the card is written.
    write_after_ms: u32,
    /// Number of full pages at which the log is written earlier.
    write_after_pages: u32,
    /// Number of crashes that are never overwritten before they are acknowledged: the first ones.
    keep_first: u32,
    /// Number of crash slots (`crashlog format --slots`) on the cards of this system.
    #[serde(default = "default_slots")]
    slots: u32,
    /// Length in KiB of a crash slot (`crashlog format --slot-size`) on the cards of this system.
    /// The build checks that a crash fits (`build/xtask/src/dist/snapshot.rs`).
    #[serde(default = "default_slot_kib")]
    slot_kib: u32,
    /// Idle milliseconds after which the card is suspended. Without this key it is never suspended.
    suspend_after_ms: Option<u32>,
    /// May the power of a suspended card be cut? Requires that the controller's power control
    /// reaches the card and nothing else.
    #[serde(default)]
    cut_power: bool,
    /// Does an eMMC in sleep state (CMD5) wake again on this board? Some do not.
    #[serde(default)]
    card_wakes: bool,
    /// Run the self-test of the emergency path at the start of each boot?
    #[serde(default)]
    self_test: bool,
    /// The tasks that may call an operation. Of those that are not named, [`CLOSED`] are closed,
    /// and the others may be called by every task.
    #[serde(default)]
    allowed_callers: BTreeMap<String, Vec<String>>,
}

/// The layouts of registers that there is a driver for.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ControllerKind {
    /// By the SD Host Controller specification.
    #[default]
    Sdhci,
    /// NXP's uSDHC.
    Usdhc,
}

impl ControllerKind {
    /// The type that accesses them.
    fn registers(self) -> &'static str {
        match self {
            Self::Sdhci => "drv_sdhci::Mmio",
            Self::Usdhc => "drv_usdhc::Usdhc<drv_sdhci::Mmio>",
        }
    }

    /// The function that makes one out of a `Mmio`.
    fn constructor(self) -> &'static str {
        match self {
            Self::Sdhci => "core::convert::identity",
            Self::Usdhc => "drv_usdhc::Usdhc::new",
        }
    }
}

/// A kind of card. The names are those of `drv_mmc`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ConfiguredCard {
    Emmc,
    Sd,
}

/// Address and size of a region in `extern-regions`.
#[derive(Deserialize)]
struct ExternRegion {
    address: u32,
    size: u32,
}

const fn default_slots() -> u32 {
    Geometry::DEFAULT_SLOTS
}

const fn default_slot_kib() -> u32 {
    256
}

fn main() -> Result<()> {
    let config: CrashlogConfig = build_util::task_config()?;
    check(&config).context("app.toml")?;

    let regions = build_util::task_extern_regions::<ExternRegion>()?;
    let Some(crash) = regions.get("crash") else {
        bail!(
            "app.toml: tasks.{}.extern-regions: `crash` is missing",
            build_util::task_name()
        );
    };

    let name = build_util::task_name();
    let Some(index) = build_util::task_ids().get(&name) else {
        bail!("{name} is not a task")
    };

    let source = format!(
        "/// The controller's registers.\n\
         pub type ControllerRegisters = {};\n\
         /// Makes them out of the memory that they are.\n\
         pub const CONTROLLER_REGISTERS: fn(drv_sdhci::Mmio) -> ControllerRegisters = {};\n\
         /// Address of the controller's registers.\n\
         pub const CONTROLLER: usize = {:#x};\n\
         /// Frequency of the controller's base clock in kHz, or 0.\n\
         pub const BASE_CLOCK_KHZ: u32 = {};\n\
         /// Highest clock in kHz that the wiring allows.\n\
         pub const MAX_CLOCK_KHZ: u32 = {};\n\
         /// Data lines that are wired.\n\
         pub const DATA_LINES: u8 = {};\n\
         /// Is the card-detect signal wired?\n\
         pub const CARD_DETECT: bool = {};\n\
         /// The kind of card that identification tries first.\n\
         pub const CARD: drv_mmc::CardKind = drv_mmc::CardKind::{:?};\n\
         /// Use the card's volatile cache?\n\
         pub const CARD_CACHE: bool = {};\n\
         /// Name of the GPT partition.\n\
         pub const PARTITION: &str = {:?};\n\
         /// Bytes of the log ring that one client may hold.\n\
         pub const QUOTA: u32 = {};\n\
         /// Age in milliseconds at which the oldest log record that is not on the card is
         /// written.\n\
         pub const WRITE_AFTER_MS: u32 = {};\n\
         /// Number of full pages at which the log is written earlier.\n\
         pub const WRITE_AFTER_PAGES: u32 = {};\n\
         /// Number of crashes that are never overwritten before they are acknowledged.\n\
         pub const KEEP_FIRST: u32 = {};\n\
         /// Idle milliseconds after which the card is suspended.\n\
         pub const SUSPEND_AFTER_MS: Option<u32> = {:?};\n\
         /// May the power of a suspended card be cut?\n\
         pub const CUT_POWER: bool = {};\n\
         /// Does a card in sleep state wake again?\n\
         pub const CARD_WAKES: bool = {};\n\
         /// Address of the retained region.\n\
         pub const CRASH_ADDRESS: usize = {:#x};\n\
         /// Size of the retained region in bytes.\n\
         pub const CRASH_SIZE: usize = {:#x};\n\
         /// Index of this task.\n\
         pub const TASK_INDEX: usize = {index};\n\
         /// Run the self-test of the emergency path at the start of each boot?\n\
         pub const SELF_TEST: bool = {};\n\
         /// Name of this task.\n\
         pub const TASK_NAME: &str = {name:?};\n\
         /// The payload of the boot record, without the image id and the ends of boots.
         pub const BOOT_RECORD: &[u8] = &{:?};\n",
        config.controller_kind.registers(),
        config.controller_kind.constructor(),
        config.controller,
        config.base_clock_khz,
        config.max_clock_khz,
        config.data_lines,
        config.card_detect,
        config.card,
        config.card_cache,
        config.partition,
        config.quota,
        config.write_after_ms,
        config.write_after_pages,
        config.keep_first,
        config.suspend_after_ms,
        config.cut_power,
        config.card_wakes,
        crash.address,
        crash.size,
        config.self_test,
        boot_record()?,
    );
    fs::write(build_util::out_dir().join("config.rs"), source)?;

    build_util::build_notifications()?;
    let mut callers = config.allowed_callers;
    for operation in CLOSED {
        callers.entry(operation.to_string()).or_default();
    }
    let allowed = build_util::task_ids().remap_allowed_caller_names_to_ids(&callers)?;
    idol::Generator::new()
        .with_counters(idol::CounterSettings::default().with_client_counters(false))
        .build_restricted_server_support(
            "../../idl/crashlog.idol",
            "server_stub.rs",
            idol::server::ServerStyle::InOrder,
            &allowed,
        )
        .map_err(|error| anyhow::anyhow!("{error}"))
}

/// The payload of the boot record, without the ends of boots. The image id is 0: it is a hash over
/// this task, too, so it is known only when everything is linked.
fn boot_record() -> Result<Vec<u8>> {
    let [app, image] =
        ["HUBRIS_APP_NAME", "HUBRIS_IMAGE_NAME"].map(|name| build_util::env_var(name).ok());
    let number = |name| -> Result<u32> {
        let text = build_util::env_var(name)?;
        text.parse().with_context(|| format!("{name}={text}"))
    };
    let record = BootRecord {
        image_id: 0,
        version: number("HUBRIS_BUILD_VERSION")?,
        epoch: number("HUBRIS_BUILD_EPOCH")?,
        app: &app.unwrap_or_default(),
        image: &image.unwrap_or_default(),
        board: &build_util::target_board().unwrap_or_default(),
        commit: &commit()?,
        ends: BootEnds::NONE,
        last_ran: None,
    };
    let texts = [
        ("name", record.app, NAME_MAX),
        ("image-names", record.image, NAME_MAX),
        ("board", record.board, NAME_MAX),
        ("the commit", record.commit, COMMIT_MAX),
    ];
    for (what, text, most) in texts {
        if text.len() > most {
            bail!(
                "app.toml: {what}: {text:?} is too long for the boot record: at most {most} bytes"
            );
        }
    }
    let mut payload = [0; 256];
    let length = record.encode(&mut payload).context("boot record")?;
    let mut payload = payload.get(..length).unwrap_or(&[]).to_vec();
    // How many ends there are.
    payload.pop();
    Ok(payload)
}

/// The commit of the sources; empty if it is not known. Upstream's xtask does not tell it.
fn commit() -> Result<String> {
    let Ok(path) = build_util::env_var("HUBRIS_GIT_REV_FILE") else {
        return Ok(String::new());
    };
    println!("cargo::rerun-if-changed={path}");
    let commit = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(if commit == "unknown" {
        String::new()
    } else {
        commit
    })
}

/// Refuses values that cannot work. The error names the key, the value and the rule.
fn check(config: &CrashlogConfig) -> Result<()> {
    in_range("quota", config.quota, 512..=1 << 24)?;
    in_range("write-after-ms", config.write_after_ms, 1..=60_000)?;
    in_range("write-after-pages", config.write_after_pages, 1..=64)?;
    in_range("base-clock-khz", config.base_clock_khz, 0..=4_000_000)?;
    in_range("max-clock-khz", config.max_clock_khz, 400..=200_000)?;
    in_range("slot-kib", config.slot_kib, 4..=32_768)?;
    if !config.slot_kib.is_multiple_of(4) {
        bail!(
            "{}slot-kib: {} is not a multiple of 4",
            prefix(),
            config.slot_kib
        );
    }
    in_range(
        "slots",
        config.slots,
        Geometry::MIN_SLOTS..=Geometry::MAX_SLOTS,
    )?;
    // One slot is always free, and one has to be left for new crashes.
    let most = config.slots.saturating_sub(2);
    if config.keep_first > most {
        bail!(
            "{}keep-first: {} is not in 0 to {most}: of {} slots one is always free, and one is for new crashes",
            prefix(),
            config.keep_first,
            config.slots
        );
    }
    if let Some(after) = config.suspend_after_ms {
        in_range("suspend-after-ms", after, 10..=86_400_000)?;
    }
    if config.cut_power && config.suspend_after_ms.is_none() {
        bail!(
            "{}cut-power: has no effect without suspend-after-ms; set that, or remove it",
            prefix()
        );
    }
    let partition = &config.partition;
    if partition.is_empty()
        || partition.len() > 36
        || !partition.bytes().all(|byte| byte.is_ascii_graphic())
    {
        bail!(
            "{}partition: {partition:?} is not 1 to 36 printable ASCII characters, as GPT wants",
            prefix()
        );
    }
    if !matches!(config.data_lines, 1 | 4 | 8) {
        bail!(
            "{}data-lines: {} is not 1, 4 or 8",
            prefix(),
            config.data_lines
        );
    }
    if !config.controller.is_multiple_of(4) {
        bail!(
            "{}controller: {:#x} is not aligned to 4 bytes",
            prefix(),
            config.controller
        );
    }
    Ok(())
}

fn in_range(key: &str, value: u32, range: RangeInclusive<u32>) -> Result<()> {
    if !range.contains(&value) {
        bail!(
            "{}{key}: {value} is not in {} to {}",
            prefix(),
            range.start(),
            range.end()
        );
    }
    Ok(())
}

fn prefix() -> String {
    format!("tasks.{}.config.", build_util::task_name())
}
