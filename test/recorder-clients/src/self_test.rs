//! In place of the recorder's self-test, which is of the emergency path.

use crashlog_retained::Region;
use task_crashlog_api::SelfTestReport;

pub fn run(_: &Region<'static>) -> SelfTestReport {
    SelfTestReport::Off
}
