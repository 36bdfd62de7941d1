//! Sets of tasks, most important first.
//!
//! Who runs next, and whose message is received next, is the same question: of a set of tasks, the most important; among
//! equals, the first in table order after a given task, going round. Both answers must not cost more in a system with
//! more tasks.
//!
//! Priorities never change, so the build sorts the tasks once, by priority and then by index. The position in that order
//! is the task's *rank*, and a set is a bit map over ranks: the most important member is one count-leading-zeros away.
//! Tasks of equal priority have adjacent ranks, their *class*; only where the class of the most important member has
//! more than one task is there anything left to decide.

/// A set of tasks, one bit per rank, in `W` words. The bit of rank 0 is the most significant of the first word.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct TaskSet<const W: usize>([u32; W]);

/// One entry of the order: which task has this rank.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Rank {
    /// Index in the task table.
    pub task: u16,
    /// First rank after the class of tasks with the same priority.
    pub class_end: u16,
}

/// Words needed for a set over `tasks` tasks.
pub const fn words(tasks: usize) -> usize {
    tasks.div_ceil(u32::BITS as usize)
}

const fn mask(rank: u16) -> u32 {
    0x8000_0000 >> (rank & 31)
}

impl<const W: usize> TaskSet<W> {
    /// The set without members.
    pub const EMPTY: Self = Self([0; W]);

    /// Adds the task of rank `rank`. Ranks beyond the set's size are ignored.
    #[inline(always)]
    pub fn insert(&mut self, rank: u16) {
        if let Some(word) = self.word(rank) {
            *word |= mask(rank);
        }
    }

    /// Removes the task of rank `rank`.
    #[inline(always)]
    pub fn remove(&mut self, rank: u16) {
        if let Some(word) = self.word(rank) {
            *word &= !mask(rank);
        }
    }

    /// Is the task of rank `rank` a member?
    #[inline(always)]
    pub fn contains(&self, rank: u16) -> bool {
        self.0
            .get(usize::from(rank >> 5))
            .is_some_and(|word| word & mask(rank) != 0)
    }

    /// The lowest rank in the set: its most important member.
    #[inline(always)]
    pub fn first(&self) -> Option<u16> {
        let mut base = 0;
        for word in self.0 {
            if word != 0 {
                return Some(base + word.leading_zeros() as u16);
            }
            base += 32;
        }
        None
    }

    #[inline(always)]
    fn word(&mut self, rank: u16) -> Option<&mut u32> {
        if W == 1 {
            self.0.first_mut()
        } else {
            self.0.get_mut(usize::from(rank >> 5))
        }
    }

    /// The most important member; among equals, the first whose task index is greater than `after`, else the lowest.
    ///
    /// `order` must be the one the set's ranks belong to.
    #[inline(always)]
    pub fn pick(&self, order: &[Rank], after: usize) -> Option<u16> {
        let first = self.first()?;
        let entry = order.get(usize::from(first))?;
        if entry.class_end == first + 1 {
            return Some(entry.task);
        }
        Some(self.pick_among_equals(order, first, *entry, after))
    }

    #[inline(never)]
    fn pick_among_equals(&self, order: &[Rank], first: u16, entry: Rank, after: usize) -> u16 {
        (first..entry.class_end)
            .filter(|&rank| self.contains(rank))
            .filter_map(|rank| order.get(usize::from(rank)))
            .map(|rank| rank.task)
            .find(|&task| usize::from(task) > after)
            .unwrap_or(entry.task)
    }
}

/// Sorts tasks into ranks: `order` and `ranks` have one entry per task, and receive the task of each rank and the rank of
/// each task. Used when the kernel's tables are generated, not in the kernel.
pub fn sort(priorities: &[u8], order: &mut [Rank], ranks: &mut [u16]) {
    for (task, &priority) in priorities.iter().enumerate() {
        let rank = priorities
            .iter()
            .enumerate()
            .filter(|&(other, &p)| (p, other) < (priority, task))
            .count();
        let class_end = priorities.iter().filter(|&&p| p <= priority).count();
        order[rank] = Rank {
            task: task as u16,
            class_end: class_end as u16,
        };
        ranks[task] = rank as u16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule as the system call reference states it: scan all tasks from `after + 1` round to `after`, keep the first of
    /// the best priority.
    fn by_scan(priorities: &[u8], members: &[bool], after: usize) -> Option<u16> {
        let n = priorities.len();
        let mut best: Option<usize> = None;
        for task in (0..n)
            .map(|i| (after + 1 + i) % n)
            .filter(|&task| members[task])
        {
            if best.is_none_or(|b| priorities[task] < priorities[b]) {
                best = Some(task);
            }
        }
        best.map(|task| task as u16)
    }

    fn check<const W: usize>(priorities: &[u8], members: &[bool]) {
        let n = priorities.len();
        let mut order = vec![
            Rank {
                task: 0,
                class_end: 0
            };
            n
        ];
        let mut ranks = vec![0; n];
        sort(priorities, &mut order, &mut ranks);
        let mut set = TaskSet::<W>::EMPTY;
        for task in (0..n).filter(|&task| members[task]) {
            set.insert(ranks[task]);
            assert!(set.contains(ranks[task]));
        }
        for after in 0..n {
            assert_eq!(
                set.pick(&order, after),
                by_scan(priorities, members, after),
                "{priorities:?} {members:?} {after}"
            );
        }
        for &rank in &ranks {
            set.remove(rank);
        }
        assert_eq!(set, TaskSet::EMPTY);
    }

    #[test]
    fn picks_as_a_scan_would_for_all_small_systems() {
        for code in 0..3u32.pow(5) {
            let priorities: Vec<u8> = (0..5).map(|i| (code / 3u32.pow(i) % 3) as u8).collect();
            for bits in 0..32 {
                let members: Vec<bool> = (0..5).map(|i| bits >> i & 1 != 0).collect();
                check::<1>(&priorities, &members);
            }
        }
    }

    #[test]
    fn picks_as_a_scan_would_in_large_systems() {
        let mut random = 1u32;
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random >> 16
        };
        for _ in 0..200 {
            let priorities: Vec<u8> = (0..70).map(|_| (next() % 9) as u8).collect();
            let members: Vec<bool> = (0..70).map(|_| next() % 5 == 0).collect();
            check::<{ words(70) }>(&priorities, &members);
        }
    }

    #[test]
    fn an_empty_set_has_nobody() {
        assert_eq!(TaskSet::<2>::EMPTY.first(), None);
        assert_eq!(TaskSet::<2>::EMPTY.pick(&[], 0), None);
    }
}
