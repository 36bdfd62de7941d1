//! Text for the console: what another processor could have sent on its serial line.

use std::fs;
use std::process::Command;

/// Bytes of a log that the demo sends: some seconds of a serial line.
const LENGTH: usize = 64 * 1024;

/// The end of one of this computer's logs, and which log it is.
pub fn from_this_machine() -> (Vec<u8>, String) {
    for path in [
        "/var/log/dpkg.log",
        "/var/log/boot.log",
        "/var/log/pacman.log",
        "/var/log/syslog",
    ] {
        if let Ok(bytes) = fs::read(path)
            && bytes.len() > LENGTH / 8
        {
            return (last_lines(&bytes), path.to_owned());
        }
    }
    for command in [&["journalctl", "--boot", "--no-pager"][..], &["dmesg"]] {
        if let Some((program, arguments)) = command.split_first()
            && let Ok(output) = Command::new(program).args(arguments).output()
            && output.status.success()
            && output.stdout.len() > LENGTH / 8
        {
            return (
                last_lines(&output.stdout),
                format!("`{}`", command.join(" ")),
            );
        }
    }
    (
        generated(),
        "generated, because this computer has no log".to_owned(),
    )
}

/// The last whole lines that fit.
fn last_lines(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.len().saturating_sub(LENGTH);
    let tail = bytes.get(start..).unwrap_or(bytes);
    let whole = if start == 0 {
        0
    } else {
        tail.iter()
            .position(|&byte| byte == b'\n')
            .map_or(0, |end| end + 1)
    };
    tail.get(whole..).unwrap_or(tail).to_vec()
}

/// Lines like those of a boot log.
fn generated() -> Vec<u8> {
    let mut text = String::new();
    for number in 0_u32.. {
        if text.len() > LENGTH {
            break;
        }
        let device = number.wrapping_mul(2_654_435_761) >> 20;
        text += &format!(
            "[{:5}.{:06}] device {device:03x}: probed, {} resources\n",
            number / 100,
            number * 7919 % 1_000_000,
            device % 7
        );
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_cut_at_a_line() {
        let text = "0123456789\n".repeat(LENGTH / 11 + 100);
        let cut = last_lines(text.as_bytes());
        assert!(cut.len() <= LENGTH && cut.len() > LENGTH - 11 && cut.starts_with(b"0123"));
        assert_eq!(last_lines(b"short\nlog\n"), b"short\nlog\n");
    }

    #[test]
    fn there_is_always_a_text() {
        assert!(from_this_machine().0.len() > LENGTH / 8);
        assert!(generated().ends_with(b"\n"));
    }
}
