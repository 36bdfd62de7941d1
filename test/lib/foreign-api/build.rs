//! Generates the client.

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    idol::Generator::new()
        .with_counters(
            (!cfg!(feature = "uncounted"))
                .then(|| idol::CounterSettings::default().with_server_counters(false)),
        )
        .build_client_stub("../../idl/thermal.idol", "client_stub.rs")?;
    Ok(())
}
