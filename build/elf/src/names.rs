//! Symbol names as people read them

/// A function's path, without hashes.
pub fn full(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}

/// A function's path, without hashes and the arguments of generics.
pub fn short(symbol: &str) -> String {
    strip(&full(symbol))
}

/// `name::<Argument>` without the argument; of `<Type as Trait>::method` the type's path and the
/// method.
fn strip(name: &str) -> String {
    if let Some(rest) = name.strip_prefix('<')
        && let Some(end) = closing(rest)
    {
        let (inside, after) = (&rest[..end], &rest[end + 1..]);
        let subject = inside.split_once(" as ").map_or(inside, |parts| parts.0);
        return strip(subject) + &strip(after);
    }
    let mut path = String::new();
    let mut depth = 0;
    for c in name.chars() {
        match c {
            '<' => depth += 1,
            '>' if depth > 0 => depth -= 1,
            _ if depth == 0 => path.push(c),
            _ => {}
        }
    }
    // `name::<Argument>::more` has become `name::::more`.
    let path = path.replace("::::", "::");
    path.trim_end_matches("::").to_string()
}

/// The position in `text` that closes a bracket opened before it.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if !text[..at].ends_with('-') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortens_names() {
        assert_eq!(short("_RNvNtCs1234_7mycrate3foo3bar"), "mycrate::foo::bar");
        assert_eq!(short("_RINvCs1234_4core4copymE"), "core::copy");
        assert_eq!(short("memcpy"), "memcpy");
        assert_eq!(short("<a::B<c::D>>::e::<f::G>"), "a::B::e");
        assert_eq!(
            short("<a::B<c::D> as t::U<v>>::e::{closure#0}"),
            "a::B::e::{closure#0}"
        );
    }
}
