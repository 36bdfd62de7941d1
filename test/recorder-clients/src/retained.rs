//! The retained region of this thread.

use std::cell::Cell;

use crashlog_retained::Region;

std::thread_local! {
    static REGION: Cell<Option<Region<'static>>> = const { Cell::new(None) };
}

/// Makes this the region that [`claim`] returns.
pub fn install(region: Region<'static>) {
    REGION.set(Some(region));
}

/// The region, as the task claims it when it starts.
pub fn claim() -> Region<'static> {
    REGION.get().expect("a region is installed")
}
