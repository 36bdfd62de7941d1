//! Generates the server and the names of notifications.

use std::collections::BTreeMap;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // On the host the workspace is checked without an application.
    if build_util::target_os() != "none" {
        return Ok(());
    }
    build_util::expose_target_board();
    build_util::build_notifications()?;
    let allowed = build_util::task_ids().remap_allowed_caller_names_to_ids(&BTreeMap::from([(
        "secret".to_string(),
        vec!["supervisor".to_string()],
    )]))?;
    idol::Generator::new()
        .with_counters(idol::CounterSettings::default().with_client_counters(false))
        .build_restricted_server_support(
            "../../idl/thermal.idol",
            "server_stub.rs",
            idol::server::ServerStyle::InOrder,
            &allowed,
        )?;
    Ok(())
}
