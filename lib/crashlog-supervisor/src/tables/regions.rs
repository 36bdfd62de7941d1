//! Limits of what tasks may register to be saved with a crash.

use core::ops::RangeInclusive;

use serde::Deserialize;

use super::{App, ConfigError};
use std::format;

/// Range of [`RegionLimits::total`]: each costs the supervisor 40 bytes of RAM.
pub const REGIONS_TOTAL: RangeInclusive<u32> = 0..=64;

/// Range of [`RegionLimits::bytes_per_task`].
pub const REGION_BYTES: RangeInclusive<u32> = 0..=65_536;

/// The table `[tasks.<supervisor>.config.crash.regions]`, which is optional, as is each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RegionLimits {
    /// How many regions a task may have registered at a time.
    pub per_task: u32,
    /// How many bytes they may have together.
    pub bytes_per_task: u32,
    /// How many regions all tasks together may have registered.
    pub total: u32,
}

impl Default for RegionLimits {
    fn default() -> Self {
        Self {
            per_task: 4,
            bytes_per_task: 4096,
            total: 16,
        }
    }
}

impl RegionLimits {
    pub(super) fn check(&self, app: &App) -> Result<(), ConfigError> {
        for (key, value, range) in [
            ("total", self.total, REGIONS_TOTAL),
            ("per-task", self.per_task, 0..=self.total),
            ("bytes-per-task", self.bytes_per_task, REGION_BYTES),
        ] {
            if !range.contains(&value) {
                let why = if key == "per-task" {
                    ", the latter being `total`"
                } else {
                    ""
                };
                let rule = format!("must be {} to {}{why}", range.start(), range.end());
                return Err(app.refuse(&format!("regions.{key}"), value, rule));
            }
        }
        Ok(())
    }
}
