//! Generates the IPC client from the interface definition.

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    idol::Generator::new().build_client_stub("../../idl/jefe.idol", "client_stub.rs")?;
    Ok(())
}
