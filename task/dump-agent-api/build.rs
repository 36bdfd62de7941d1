//! Generates the IPC client from the interface definition.

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // One counter for all errors of an operation: what can go wrong with dumps would be most of a
    // client's counters.
    let counters = idol::CounterSettings::default()
        .with_server_counters(false)
        .combine_client_errors(true);
    idol::Generator::new()
        .with_counters(counters)
        .build_client_stub("../../idl/dump-agent.idol", "client_stub.rs")
}
