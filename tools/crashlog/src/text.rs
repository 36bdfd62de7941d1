//! Bytes and numbers for people.

use std::fmt::Write;

/// Text that is safe for a terminal: control characters, and bytes that are not UTF-8, become
/// `\xNN`.
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                '\n' => out.push_str("\\n"),
                c if is_active(c) => {
                    let mut bytes = [0; 4];
                    escape(&mut out, c.encode_utf8(&mut bytes).as_bytes());
                }
                c => out.push(c),
            }
        }
        escape(&mut out, chunk.invalid());
    }
    out
}

/// Whether a terminal may act on a character instead of showing it: a control character (C0, DEL,
/// C1), a format character (Unicode category Cf, of which some change the direction of text and
/// others are not seen), or a separator of lines or paragraphs.
fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}')
}

/// A message in one line that is safe for a terminal, whatever is quoted in it. Of a message in
/// which that is so, nothing is changed.
pub fn message(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_active(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// JSON that is safe for a terminal: characters outside of ASCII are in strings alone, where any
/// may be written by its number.
pub fn json(value: &serde_json::Value, is_pretty: bool) -> String {
    let text = match is_pretty {
        true => format!("{value:#}"),
        false => value.to_string(),
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && is_active(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn escape(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(out, "\\x{byte:02x}");
    }
}

/// A line of a console, without its line end; a part of a line, which has none, ends in a
/// backslash.
pub fn console_line(bytes: &[u8]) -> String {
    match bytes.strip_suffix(b"\n") {
        Some(line) => printable(line.strip_suffix(b"\r").unwrap_or(line)),
        None => printable(bytes) + "\\",
    }
}

/// Milliseconds as seconds.
pub fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

/// Bytes as two hexadecimal digits each.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Bytes as lines of sixteen: address, words, characters.
pub fn dump(address: u32, bytes: &[u8]) -> Vec<String> {
    let lines = bytes.chunks(16).enumerate();
    lines
        .map(|(index, line)| {
            // A damaged address may be so high that the bytes do not end before 2^32.
            let address = address.wrapping_add(16 * index as u32);
            let mut out = format!("{address:08x} ");
            for word in line.chunks(4) {
                let value = word
                    .iter()
                    .rev()
                    .fold(0_u32, |value, &byte| value << 8 | u32::from(byte));
                let _ = write!(out, " {value:0width$x}", width = word.len() * 2);
            }
            let characters: String = line
                .iter()
                .map(|&byte| {
                    if (b' '..=b'~').contains(&byte) {
                        byte as char
                    } else {
                        '.'
                    }
                })
                .collect();
            format!("{out:<46} {characters}")
        })
        .collect()
}

/// `1 page`, `2 pages`.
pub fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_printed_that_a_terminal_acts_on() {
        assert_eq!(
            printable(b"a\tb\\ \x1b[31m\x00\xff\xc3\xa4\x7f"),
            "a\\tb\\\\ \\x1b[31m\\x00\\xff\u{e4}\\x7f"
        );
        assert_eq!(
            printable("\u{202e}x\u{85}".as_bytes()),
            "\\xe2\\x80\\xaex\\xc2\\x85"
        );
        assert_eq!(printable("\u{200f}".as_bytes()), "\\xe2\\x80\\x8f");
        for c in "\u{200b}\u{2028}\u{2060}\u{feff}\u{ad}\u{e0041}".chars() {
            let shown = printable(c.to_string().as_bytes());
            assert!(shown.is_ascii(), "{shown:?}");
        }
    }

    #[test]
    fn messages_and_json_are_as_safe() {
        let text = "a\\x1b \u{1b}[31m\u{202e}\u{9b}\n\u{e4}\u{7f}\u{1f980}";
        let safe = message(text);
        assert_eq!(
            safe,
            "a\\x1b \\u{1b}[31m\\u{202e}\\u{9b}\\n\u{e4}\\u{7f}\u{1f980}"
        );
        assert_eq!(message(&safe), safe);
        let value = serde_json::json!({ "a": [text, 1] });
        for is_pretty in [false, true] {
            let json = json(&value, is_pretty);
            assert!(!json.chars().any(|c| c != '\n' && is_active(c)), "{json}");
            assert_eq!(json.lines().count() > 1, is_pretty);
            let back: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            assert_eq!(back, value);
        }
    }

    #[test]
    fn a_part_of_a_line_is_marked() {
        assert_eq!(console_line(b"whole\r\n"), "whole");
        assert_eq!(console_line(b"piece"), "piece\\");
        assert_eq!(console_line(b"\n"), "");
    }

    #[test]
    fn dumps_are_in_words() {
        let lines = dump(0x1000, &(0..18).collect::<Vec<u8>>());
        assert_eq!(
            lines[0],
            "00001000  03020100 07060504 0b0a0908 0f0e0d0c  ................"
        );
        assert_eq!(dump(0xffff_fff0, &[0; 17]).len(), 2);
        assert_eq!(
            lines[1].trim_end(),
            "00001010  1110                                 .."
        );
    }
}
