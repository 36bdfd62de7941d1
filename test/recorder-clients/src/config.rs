//! The recorder's configuration. Small, so that every limit is reached.

pub const CARD: drv_mmc::CardKind = drv_mmc::CardKind::Emmc;
pub const PARTITION: &str = fault_matrix::image::PARTITION;
pub const QUOTA: u32 = 9 * 1024;
pub const WRITE_AFTER_MS: u32 = 20;
pub const WRITE_AFTER_PAGES: u32 = 4;
pub const KEEP_FIRST: u32 = fault_matrix::image::OPTIONS.keep_first;
pub const SUSPEND_AFTER_MS: Option<u32> = Some(50);
pub const TASK_INDEX: usize = 1;
pub const BOOT_RECORD: &[u8] = &[0; 16];
