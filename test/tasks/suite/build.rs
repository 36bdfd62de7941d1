//! Generates the names of the task's notifications.

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // On the host the workspace is checked without an application.
    if build_util::target_os() == "none" {
        build_util::build_notifications()?;
    }
    Ok(())
}
