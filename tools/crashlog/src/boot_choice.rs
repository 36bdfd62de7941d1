//! Which boots: `--boot` on the command line.
//!
//! A boot is named by its number, as `last`, or by how many boots it is before the last one (`-1`).
//! The last one is that of the newest page of the log. Two of them with `..` between are a range,
//! both included; either may be left out.

use crate::problem::{Code, Problem};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The boots that the user wants.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BootChoice {
    first: End,
    last: End,
}

/// One end of a range.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum End {
    /// The boot with this number.
    Number(u32),
    /// So many boots before the last.
    BeforeLast(u32),
}

impl FromStr for BootChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let end = |text: &str, otherwise| match text {
            "" => Ok(otherwise),
            "last" => Ok(End::BeforeLast(0)),
            text => {
                let end = match text.strip_prefix('-') {
                    Some(before) => before.parse().map(End::BeforeLast),
                    None => text.parse().map(End::Number),
                };
                end.map_err(|_| {
                    "give a number, `last`, `-1` for the boot before the last, or a range such as 3..5"
                        .to_owned()
                })
            }
        };
        let (first, last) = match text.split_once("..") {
            Some((first, last)) => (first, last),
            None if text.is_empty() => return Err("no boot is named".to_owned()),
            None => (text, text),
        };
        Ok(Self {
            first: end(first, End::Number(0))?,
            last: end(last, End::Number(u32::MAX))?,
        })
    }
}

impl BootChoice {
    /// The numbers of the boots, if `newest` is the last one; `None`: there is none.
    pub fn numbers(self, newest: Option<u32>) -> Result<RangeInclusive<u32>, Problem> {
        let number = |end| {
            match end {
            End::Number(number) => Ok(number),
            End::BeforeLast(before) => newest
                .and_then(|newest| newest.checked_sub(before))
                .ok_or_else(|| {
                    Problem::new(
                        Code::Found,
                        match newest {
                            Some(newest) => format!(
                                "--boot -{before}: the last boot in the log is {newest}; `crashlog boots` lists them"
                            ),
                            None => "--boot: the log has no boot; it is empty".to_owned(),
                        },
                    )
                }),
        }
        };
        let (first, last) = (number(self.first)?, number(self.last)?);
        if first > last && newest.is_some_and(|newest| first <= newest) {
            return Err(Problem::new(
                Code::Usage,
                format!(
                    "--boot: the range begins with boot {first} and ends with {last}; name the earlier one first"
                ),
            ));
        }
        Ok(first..=last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str, newest: u32) -> Option<(u32, u32)> {
        let choice: BootChoice = text.parse().ok()?;
        let range = choice.numbers(Some(newest)).ok()?;
        Some((*range.start(), *range.end()))
    }

    #[test]
    fn boots_are_named_by_number_or_from_the_end() {
        for (text, expected) in [
            ("3", Some((3, 3))),
            ("last", Some((9, 9))),
            ("-0", Some((9, 9))),
            ("-1", Some((8, 8))),
            ("3..5", Some((3, 5))),
            ("-3..-1", Some((6, 8))),
            ("7..last", Some((7, 9))),
            ("7..", Some((7, u32::MAX))),
            ("..2", Some((0, 2))),
            // Not there (yet): nothing is printed.
            ("12", Some((12, 12))),
            ("-10", None),
            ("5..3", None),
            ("-1..-2", None),
            ("", None),
            ("x", None),
            ("1...3", None),
            ("4294967296", None),
            ("--1", None),
        ] {
            assert_eq!(numbers(text, 9), expected, "{text}");
        }
        let choice: BootChoice = "last".parse().expect("a choice");
        assert!(choice.numbers(None).is_err());
        let choice: BootChoice = "3".parse().expect("a choice");
        assert_eq!(choice.numbers(None).ok(), Some(3..=3));
        let choice: BootChoice = "20..".parse().expect("a choice");
        let later = choice.numbers(Some(9)).expect("a range");
        assert!(!later.contains(&9));
    }
}
