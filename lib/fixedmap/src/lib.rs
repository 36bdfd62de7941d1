//! A map of fixed capacity with linear search.
//!
//! For tasks that keep a handful of entries (tasks held, callers waiting): a scan is faster than
//! any other structure then, and nothing may be allocated. Entries are in no particular order.
//!
//! Names and signatures are those of Hubris' crate of this name.

#![no_std]
#![forbid(unsafe_code)]

/// At most `N` pairs of a key and a value, keys distinct.
#[derive(Copy, Clone, Debug)]
pub struct FixedMap<K, V, const N: usize> {
    entries: [Option<(K, V)>; N],
}

impl<K: Copy, V: Copy, const N: usize> Default for FixedMap<K, V, N> {
    fn default() -> Self {
        Self { entries: [None; N] }
    }
}

impl<K: Copy + PartialEq, V: Copy, const N: usize> FixedMap<K, V, N> {
    /// The value stored under `key`.
    pub fn get(&self, key: K) -> Option<V> {
        self.entries
            .iter()
            .flatten()
            .find(|(k, _)| *k == key)
            .map(|(_, v)| *v)
    }

    /// Stores `value` under `key` and drops the previous value, if there is one.
    ///
    /// # Panics
    ///
    /// If `key` is new and `N` keys are stored already.
    pub fn insert(&mut self, key: K, value: V) {
        let same = self
            .entries
            .iter()
            .position(|e| matches!(e, Some((k, _)) if *k == key));
        let slot = same.or_else(|| self.entries.iter().position(Option::is_none));
        match slot.and_then(|i| self.entries.get_mut(i)) {
            Some(entry) => *entry = Some((key, value)),
            None => panic!(),
        }
    }

    /// Removes `key`, if it is stored.
    pub fn remove(&mut self, key: K) {
        for entry in &mut self.entries {
            if matches!(entry, Some((k, _)) if *k == key) {
                *entry = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FixedMap;

    #[test]
    fn insert_get_replace_remove() {
        let mut map: FixedMap<u8, u32, 2> = FixedMap::default();
        assert_eq!(map.get(1), None);
        map.insert(1, 10);
        map.insert(2, 20);
        map.insert(1, 11);
        assert_eq!((map.get(1), map.get(2)), (Some(11), Some(20)));
        map.remove(1);
        map.remove(7);
        assert_eq!((map.get(1), map.get(2)), (None, Some(20)));
        map.insert(3, 30);
        assert_eq!(map.get(3), Some(30));
    }

    #[test]
    fn a_key_is_stored_once_even_after_a_hole_opens_before_it() {
        let mut map: FixedMap<u8, u32, 2> = FixedMap::default();
        map.insert(1, 10);
        map.insert(2, 20);
        map.remove(1);
        map.insert(2, 21);
        map.remove(2);
        assert_eq!(map.get(2), None);
    }

    #[test]
    #[should_panic]
    fn full_map_panics_on_a_new_key() {
        let mut map: FixedMap<u8, u32, 1> = FixedMap::default();
        map.insert(1, 10);
        map.insert(2, 20);
    }
}
