//! Generates the IPC client from the interface definition.

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    idol::Generator::new()
        .with_counters(idol::CounterSettings::default().with_server_counters(false))
        .build_client_stub("../../idl/crashlog.idol", "client_stub.rs")?;
    Ok(())
}
