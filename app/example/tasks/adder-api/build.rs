//! Generates the client.

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    idol::Generator::new().build_client_stub("../../idl/adder.idol", "client_stub.rs")?;
    Ok(())
}
