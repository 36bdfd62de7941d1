//! Generates the names of the task's notifications.

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // The library's host tests are built without an application.
    if build_util::target_os() == "none" {
        build_util::build_notifications()?;
    }
    Ok(())
}
