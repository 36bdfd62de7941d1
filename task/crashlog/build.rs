//! Checks `[tasks.crashlog.config]` and turns it into constants; generates the notifications and the IPC server.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// `[tasks.crashlog.config]` of `app.toml`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Config {
    /// Address of the SD host controller's standard registers.
    controller: u32,
    /// Frequency of the controller's base clock in kHz; used where the controller's capabilities do not tell.
    base_clock_khz: u32,
    /// Highest clock, in kHz, that the wiring between controller and card allows.
    max_clock_khz: u32,
    /// Data lines that are wired: 1, 4 or 8.
    data_lines: u8,
    /// Is the slot's card-detect signal wired? An eMMC that is soldered down may have none.
    card_detect: bool,
    /// Is the card an eMMC or an SD card? The other kind works too, but is looked for second.
    card: Card,
    /// Is the volatile cache of the card to be used, where it has one?
    card_cache: bool,
    /// Name of the GPT partition.
    partition: String,
    /// Bytes of the log ring that one client may hold.
    quota: u32,
    /// Age in milliseconds at which the oldest record that is not on the card is written.
    write_after_ms: u32,
    /// Full pages that are written without waiting any longer.
    write_after_pages: u32,
    /// Records that are never overwritten before they are acknowledged.
    keep_first: u32,
    /// Milliseconds without anything to do after which the card is suspended; it never is if this is left out.
    suspend_after_ms: Option<u32>,
    /// May a suspended card be without power? The controller's power control has to reach it and nothing else.
    #[serde(default)]
    cut_power: bool,
    /// Does an eMMC that was put to sleep (CMD5) wake again on this board? Some do not.
    #[serde(default)]
    card_wakes: bool,
    /// Is the emergency path to be tried at the start of each boot?
    #[serde(default)]
    self_test: bool,
    /// Who may call which operation; operations that are not named are open to all.
    #[serde(default)]
    allowed_callers: BTreeMap<String, Vec<String>>,
}

/// A family of cards.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Card {
    Emmc,
    Sd,
}

/// A memory output that is mapped into the task as a whole.
#[derive(Deserialize)]
struct Region {
    address: u32,
    size: u32,
}

fn main() -> Result<()> {
    let config: Config = build_util::task_config()?;
    check(&config).context("app.toml")?;

    let regions = build_util::task_extern_regions::<Region>()?;
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
        "/// Address of the controller's standard registers.\n\
         pub const CONTROLLER: usize = {:#x};\n\
         /// Frequency of the controller's base clock in kHz, where its capabilities do not tell.\n\
         pub const BASE_CLOCK_KHZ: u32 = {};\n\
         /// Highest clock, in kHz, that the wiring allows.\n\
         pub const MAX_CLOCK_KHZ: u32 = {};\n\
         /// Data lines that are wired.\n\
         pub const DATA_LINES: u8 = {};\n\
         /// Is the card-detect signal wired?\n\
         pub const CARD_DETECT: bool = {};\n\
         /// The kind of card that is looked for first.\n\
         pub const CARD: drv_mmc::CardKind = drv_mmc::CardKind::{:?};\n\
         /// Is the card's volatile cache to be used?\n\
         pub const CARD_CACHE: bool = {};\n\
         /// Name of the GPT partition.\n\
         pub const PARTITION: &str = {:?};\n\
         /// Bytes of the log ring that one client may hold.\n\
         pub const QUOTA: u32 = {};\n\
         /// Age in milliseconds at which the oldest record that is not on the card is written.\n\
         pub const WRITE_AFTER_MS: u32 = {};\n\
         /// Full pages that are written without waiting any longer.\n\
         pub const WRITE_AFTER_PAGES: u32 = {};\n\
         /// Records that are never overwritten before they are acknowledged.\n\
         pub const KEEP_FIRST: u32 = {};\n\
         /// Milliseconds without anything to do after which the card is suspended.\n\
         pub const SUSPEND_AFTER_MS: Option<u32> = {:?};\n\
         /// May a suspended card be without power?\n\
         pub const CUT_POWER: bool = {};\n\
         /// Does a sleeping card wake?\n\
         pub const CARD_WAKES: bool = {};\n\
         /// Address of the retained region.\n\
         pub const CRASH_ADDRESS: usize = {:#x};\n\
         /// Size of the retained region in bytes.\n\
         pub const CRASH_SIZE: usize = {:#x};\n\
         /// Index of this task.\n\
         pub const TASK_INDEX: usize = {index};\n\
         /// Is the emergency path to be tried at the start of each boot?\n\
         pub const SELF_TEST: bool = {};\n\
         /// Name of this task.\n\
         pub const TASK_NAME: &str = {name:?};\n",
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
    );
    fs::write(build_util::out_dir().join("config.rs"), source)?;

    build_util::build_notifications()?;
    let allowed =
        build_util::task_ids().remap_allowed_caller_names_to_ids(&config.allowed_callers)?;
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

/// Refuses what cannot work, naming the key, the value and the rule.
fn check(config: &Config) -> Result<()> {
    in_range("quota", config.quota, 512..=1 << 24)?;
    in_range("write-after-ms", config.write_after_ms, 1..=60_000)?;
    in_range("write-after-pages", config.write_after_pages, 1..=64)?;
    in_range("base-clock-khz", config.base_clock_khz, 0..=4_000_000)?;
    in_range("max-clock-khz", config.max_clock_khz, 400..=200_000)?;
    in_range("keep-first", config.keep_first, 0..=1 << 16)?;
    if let Some(after) = config.suspend_after_ms {
        in_range("suspend-after-ms", after, 10..=86_400_000)?;
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
