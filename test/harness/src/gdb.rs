//! QEMU's debugger stub: breakpoints, registers, memory.
//!
//! The packets of GDB's remote protocol that are needed here. While a debugger is connected the
//! machine is stopped, except in [`Debugger::run_until_break`]. Addresses are virtual unless
//! [`Debugger::use_physical_addresses`] was called; where something is mapped they are the same.

use anyhow::{Context, Result, bail};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Real time that the stub may take to answer; running has limits of its own.
const REPLY: Duration = Duration::from_secs(60);

/// A connection to the stub.
pub struct Debugger {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Debugger {
    /// Connects to the socket of a machine that was started with
    /// [`debugger`](crate::machine::Config::debugger).
    pub fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).context("cannot connect to the debugger stub")?;
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .context("cannot bound reads from the debugger stub")?;
        let mut debugger = Self {
            stream,
            buffer: Vec::new(),
        };
        debugger.ask("qSupported:swbreak+;hwbreak+")?;
        debugger.ask("?")?;
        Ok(debugger)
    }

    /// Sets a breakpoint.
    pub fn set_break(&mut self, address: u32) -> Result<()> {
        self.ok(&format!("Z1,{:x},2", address & !1))
    }

    /// Removes a breakpoint.
    pub fn clear_break(&mut self, address: u32) -> Result<()> {
        self.ok(&format!("z1,{:x},2", address & !1))
    }

    /// Sets or removes a watchpoint for writes to these addresses. If instructions are counted the
    /// machine stops before the write.
    pub fn watch(&mut self, address: u32, length: u32, watch: bool) -> Result<()> {
        let packet = if watch { 'Z' } else { 'z' };
        self.ok(&format!("{packet}2,{address:x},{length:x}"))
    }

    /// Runs the machine until it stops at a breakpoint or watchpoint.
    pub fn run_until_break(&mut self, limit: Duration) -> Result<()> {
        self.send("c")?;
        let reply = self
            .receive(limit)
            .context("the machine did not reach the breakpoint")?;
        if reply.starts_with('T') || reply.starts_with('S') {
            Ok(())
        } else {
            bail!("the debugger stub answered `{reply}` to a run")
        }
    }

    /// Runs one instruction of the first processor.
    pub fn step(&mut self) -> Result<()> {
        self.send("vCont;s:p1.1").map(drop)?;
        self.receive(REPLY).map(drop)
    }

    /// r0 to r12, sp, lr and pc of the first processor.
    pub fn registers(&mut self) -> Result<[u32; 16]> {
        self.ok("Hgp1.1")?;
        let bytes = unhex(&self.ask("g")?)?;
        let mut registers = [0; 16];
        for (register, word) in registers.iter_mut().zip(bytes.chunks_exact(4)) {
            *register = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        }
        Ok(registers)
    }

    /// The number of a system register of the stub, by its name.
    pub fn system_register(&mut self, name: &str) -> Result<u32> {
        let mut text = String::new();
        loop {
            let offset = text.len();
            let packet = format!("qXfer:features:read:system-registers.xml:{offset:x},800");
            let part = self.ask(&packet)?;
            let (more, part) = part
                .split_at_checked(1)
                .context("the debugger stub does not list the system registers")?;
            text.push_str(part);
            match more {
                "m" => {}
                "l" => return register_number(&text, name),
                _ => bail!("the debugger stub answered `{more}{part}` to `{packet}`"),
            }
        }
    }

    /// The value of a register of the first processor, of at most 64 bits, by its number.
    pub fn register(&mut self, number: u32) -> Result<u64> {
        self.ok("Hgp1.1")?;
        let bytes = unhex(&self.ask(&format!("p{number:x}"))?)?;
        let mut value = [0; 8];
        value
            .get_mut(..bytes.len())
            .context("a register with more than 64 bits")?
            .copy_from_slice(&bytes);
        Ok(u64::from_le_bytes(value))
    }

    /// Bytes of memory as the stopped processor sees it.
    pub fn memory(&mut self, address: u32, length: u32) -> Result<Vec<u8>> {
        let reply = self.ask(&format!("m{address:x},{length:x}"))?;
        if reply.len() == 3 && reply.starts_with('E') {
            bail!("memory at {address:#x} cannot be read: {reply}");
        }
        unhex(&reply).with_context(|| format!("memory at {address:#x} cannot be read: {reply}"))
    }

    /// Sets a register of the first processor, by its number: 0 to 15.
    pub fn set_register(&mut self, number: u32, value: u32) -> Result<()> {
        self.ok("Hgp1.1")?;
        self.ok(&format!("P{number:x}={:08x}", value.swap_bytes()))
    }

    /// Writes memory as the stopped processor sees it.
    pub fn set_memory(&mut self, address: u32, bytes: &[u8]) -> Result<()> {
        use std::fmt::Write as _;
        let mut packet = format!("M{address:x},{:x}:", bytes.len());
        for byte in bytes {
            let _ = write!(packet, "{byte:02x}");
        }
        self.ok(&packet)
    }

    /// From now on all addresses are physical, including those of devices.
    pub fn use_physical_addresses(&mut self) -> Result<()> {
        self.ok("Qqemu.PhyMemMode:1")
    }

    /// Reads one word of memory, or one register of a device.
    pub fn word(&mut self, address: u32) -> Result<u32> {
        let bytes = self.memory(address, 4)?;
        let word = bytes.first_chunk().context("less than a word came back")?;
        Ok(u32::from_le_bytes(*word))
    }

    /// Writes one word of memory, or one register of a device.
    pub fn set_word(&mut self, address: u32, value: u32) -> Result<()> {
        self.set_memory(address, &value.to_le_bytes())
    }

    /// Closes the connection; the machine runs.
    pub fn detach(mut self) -> Result<()> {
        self.ok("D;1")
    }

    fn ok(&mut self, packet: &str) -> Result<()> {
        match self.ask(packet)?.as_str() {
            "OK" => Ok(()),
            reply => bail!("the debugger stub answered `{reply}` to `{packet}`"),
        }
    }

    fn ask(&mut self, packet: &str) -> Result<String> {
        self.send(packet)?;
        self.receive(REPLY)
            .with_context(|| format!("no answer to `{packet}`"))
    }

    fn send(&mut self, packet: &str) -> Result<()> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        write!(self.stream, "${packet}#{sum:02x}").context("cannot write to the debugger stub")
    }

    /// Receives the next packet and acknowledges it; acknowledgements before it are dropped.
    fn receive(&mut self, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(packet) = take_packet(&mut self.buffer) {
                self.stream
                    .write_all(b"+")
                    .context("cannot write to the debugger stub")?;
                return Ok(packet);
            }
            if Instant::now() > deadline {
                bail!("the debugger stub did not answer within {limit:?}");
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("the debugger stub closed the connection"),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(cause)
                    if matches!(
                        cause.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(cause) => return Err(cause).context("cannot read from the debugger stub"),
            }
        }
    }
}

/// The number of a register in the stub's list of registers.
fn register_number(list: &str, name: &str) -> Result<u32> {
    let wanted = format!("name=\"{name}\"");
    list.split("<reg ")
        .find(|register| register.contains(&wanted))
        .and_then(|register| register.split("regnum=\"").nth(1)?.split('"').next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("the debugger stub does not know the register {name}"))
}

/// Removes the first complete packet from `buffer`.
fn take_packet(buffer: &mut Vec<u8>) -> Option<String> {
    let start = buffer.iter().position(|&byte| byte == b'$')?;
    let end = start + buffer[start..].iter().position(|&byte| byte == b'#')?;
    if buffer.len() < end + 3 {
        return None;
    }
    let packet = String::from_utf8_lossy(&buffer[start + 1..end]).into_owned();
    buffer.drain(..end + 3);
    Some(expand(&packet))
}

/// Undoes the protocol's run-length encoding: `0*"` is six zeros.
fn expand(packet: &str) -> String {
    let mut out = String::new();
    let mut chars = packet.chars();
    while let Some(c) = chars.next() {
        match (c, out.chars().last()) {
            ('*', Some(last)) => {
                let count = chars
                    .next()
                    .map_or(0, |count| (count as usize).saturating_sub(29));
                out.extend(std::iter::repeat_n(last, count));
            }
            _ => out.push(c),
        }
    }
    out
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).context("not text")?;
            // The stub writes `x` for registers that it cannot read.
            if pair == "xx" {
                Ok(0)
            } else {
                u8::from_str_radix(pair, 16).with_context(|| format!("`{pair}` is no byte"))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_in_what_was_received() {
        let mut buffer = b"+$OK#9a+$T05th".to_vec();
        assert_eq!(take_packet(&mut buffer).as_deref(), Some("OK"));
        assert_eq!(take_packet(&mut buffer), None);
        buffer.extend_from_slice(b"read:01;#00");
        assert_eq!(take_packet(&mut buffer).as_deref(), Some("T05thread:01;"));
        assert!(buffer.is_empty());
    }

    #[test]
    fn registers_are_found_by_name() {
        let list =
            r#"<feature><reg name="A" bitsize="32" regnum="7"/><reg name="A_S" regnum="9"/>"#;
        assert_eq!(register_number(list, "A_S").expect("known"), 9);
        assert_eq!(register_number(list, "A").expect("known"), 7);
        assert!(register_number(list, "B").is_err());
    }

    #[test]
    fn runs_are_expanded() {
        assert_eq!(expand("0* 1"), "00001");
        assert_eq!(unhex("00001080").expect("hex"), [0, 0, 0x10, 0x80]);
    }
}
