//! Sizes with units: `64M`, `512K`, `1GiB`, `4096`.

/// Parses a size; returns bytes. `K`, `M` and `G` are binary multiples; `iB` or `B` may follow.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let factor: u64 = match unit.trim_end_matches("iB").trim_end_matches('B') {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => {
            return Err(format!(
                "\"{unit}\" is not a unit; use K, M or G, as in 64M"
            ));
        }
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "a size is a number and a unit, as in 64M".to_owned())?;
    number
        .checked_mul(factor)
        .ok_or_else(|| "is more than 64 bits can hold".to_owned())
}

/// A size in bytes, with the largest unit that it reaches and at most one decimal place.
pub fn show(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift {
            let tenths = bytes.saturating_mul(10) >> shift;
            return match tenths % 10 {
                0 => format!("{} {unit}", tenths / 10),
                tenth => format!("{}.{tenth} {unit}", tenths / 10),
            };
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64M", 64 << 20),
            ("1GiB", 1 << 30),
            ("3 kB", 3072),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "1.5M", "64X", "-1", "99999999999G"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (64 << 20, "64 MiB"),
        ] {
            assert_eq!(show(bytes), text);
        }
    }
}
