//! Generates the names of the task's notifications.

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    build_util::build_notifications()?;
    Ok(())
}
