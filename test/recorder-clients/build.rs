//! Generates the recorder's server from its interface, as the task's build script does.

use std::collections::BTreeMap;

/// Index of the one task that may erase crashes.
const ERASER: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let allowed = BTreeMap::from([("erase_crash".to_owned(), vec![ERASER])]);
    idol::Generator::new()
        .with_counters(idol::CounterSettings::default().with_client_counters(false))
        .build_restricted_server_support(
            "../../idl/crashlog.idol",
            "server_stub.rs",
            idol::server::ServerStyle::InOrder,
            &allowed,
        )
}
