//! The functions in which the instructions of a count were executed.
//!
//! Each function of the binary is followed by the functions that were inlined into it, with the
//! instructions that belong to these alone.

use crate::count::Count;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

/// How many functions are shown: those with the most instructions.
const FUNCTIONS: usize = 50;
/// How many inlined functions are shown for each of them.
const INLINED: usize = 8;

/// The profile of a row: commands to the card, then functions, the most expensive first.
pub fn text(name: &str, count: &Count) -> String {
    let mut text = format!("\n{name}: {} instructions\n", count.total);
    for (at, command) in &count.commands {
        let _ = writeln!(text, "    {at:>8}  {command}");
    }
    let Some(symbols) = &count.symbols else {
        return text;
    };
    let mut lines = HashMap::new();
    let mut functions: BTreeMap<(&str, &str), BTreeMap<String, u64>> = BTreeMap::new();
    for (address, number) in &count.addresses {
        let (program, function) = symbols.at(*address);
        let lines = lines
            .entry(program)
            .or_insert_with(|| symbols.lines(program));
        let inner = lines
            .as_ref()
            .and_then(|lines| lines.functions(*address).into_iter().next())
            .unwrap_or_else(|| function.to_owned());
        let inlined = functions.entry((program, function)).or_default();
        *inlined.entry(inner).or_default() += number;
    }
    let mut functions: Vec<_> = functions
        .into_iter()
        .map(|(function, inlined)| (inlined.values().sum::<u64>(), function, inlined))
        .collect();
    functions.sort_by_key(|(number, ..)| Reverse(*number));
    for (number, (program, function), inlined) in functions.into_iter().take(FUNCTIONS) {
        let _ = writeln!(text, "    {number:>8}  {program:<10} {function}");
        let mut inlined: Vec<_> = inlined.into_iter().collect();
        inlined.sort_by_key(|(_, number)| Reverse(*number));
        if inlined.len() > 1 {
            for (inner, number) in inlined.into_iter().take(INLINED) {
                let _ = writeln!(text, "    {:>8}             {number:>6}  {inner}", "");
            }
        }
    }
    text
}
