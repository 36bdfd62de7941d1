//! Generates the names of the task's notifications.

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Checking the workspace on a host has no application around it.
    if build_util::target_os() == "none" {
        build_util::build_notifications()?;
    }
    Ok(())
}
