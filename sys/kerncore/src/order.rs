//! Sets of tasks, most important first.
//!
//! Which task runs next, and whose message is received next, is the same question: of a set of
//! tasks, the most important; among equals, the first in table order after a given task, going
//! round. Answering it must not cost more in a system with more tasks.
//!
//! Priorities never change, so the build sorts the tasks once, by priority and then by index. The
//! position in that order is the task's *rank*, and a set is a bit map over ranks: the most
//! important member is one count-leading-zeros away. Tasks of equal priority have adjacent ranks.
//! The table for [`TaskSet::sole`] has an entry for each rank that is the last of its priority: if
//! the most important member has such a rank, it is the only member of its priority. The other
//! entries, and the one for the empty set, are `None`; [`TaskSet::pick`] decides then.

/// A set of tasks, one bit per rank, in `W` words. The bit of rank 0 is the most significant of the
/// first word.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct TaskSet<const W: usize>([u32; W]);

/// The place of a task's bit in every set.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Member {
    mask: u32,
    word: u16,
}

/// One entry of the order: the task that has this rank. `T` is the caller's handle of a task.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Rank<T> {
    /// The task.
    pub task: T,
    /// Its index in the task table.
    pub index: u16,
    /// How many tasks of the same priority have a higher rank.
    pub equals: u16,
}

/// Entries of the table for [`TaskSet::sole`] of sets over `tasks` tasks: one for each bit, and one
/// for the empty set.
pub const fn entries(tasks: usize) -> usize {
    words(tasks) * u32::BITS as usize + 1
}

/// Words needed for a set over `tasks` tasks.
pub const fn words(tasks: usize) -> usize {
    tasks.div_ceil(u32::BITS as usize)
}

impl Member {
    /// The bit of the task with this rank.
    pub const fn new(rank: u16) -> Self {
        Self {
            mask: 0x8000_0000 >> (rank & 31),
            word: rank >> 5,
        }
    }
}

impl<const W: usize> TaskSet<W> {
    /// The set without members.
    pub const EMPTY: Self = Self([0; W]);

    /// Adds a task. One beyond the set's size is ignored.
    #[inline(always)]
    pub fn insert(&mut self, member: Member) {
        if let Some(word) = self.word(member) {
            *word |= member.mask;
        }
    }

    /// Removes a task.
    #[inline(always)]
    pub fn remove(&mut self, member: Member) {
        if let Some(word) = self.word(member) {
            *word &= !member.mask;
        }
    }

    /// Is the task a member?
    #[inline(always)]
    pub fn contains(&self, member: Member) -> bool {
        self.0
            .get(usize::from(member.word))
            .is_some_and(|word| word & member.mask != 0)
    }

    /// Has it no members?
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The lowest rank in the set, its most important member; if it has none, the number of its
    /// bits.
    #[inline(always)]
    pub fn first(&self) -> usize {
        let mut base = 0;
        for word in self.0 {
            if word != 0 {
                return base + word.leading_zeros() as usize;
            }
            base += 32;
        }
        base
    }

    #[inline(always)]
    fn word(&mut self, member: Member) -> Option<&mut u32> {
        if W == 1 {
            self.0.first_mut()
        } else {
            self.0.get_mut(usize::from(member.word))
        }
    }

    /// The most important member, if no task of its priority has a higher rank: the entry of its
    /// rank in `table`, which has [`entries`] entries. `None` says that [`Self::pick`] has to
    /// decide.
    #[inline(always)]
    pub fn sole<T: Copy>(&self, table: &[Option<T>]) -> Option<T> {
        *table.get(self.first())?
    }

    /// The most important member; among equals, the first whose task index is greater than `after`,
    /// else the lowest.
    ///
    /// `order` must be the one that the set's members were made with.
    pub fn pick<T: Copy>(&self, order: &[Rank<T>], after: usize) -> Option<T> {
        let first = self.first();
        let entry = order.get(first)?;
        let equals = order
            .iter()
            .enumerate()
            .skip(first)
            .take(usize::from(entry.equals) + 1)
            .filter(|(rank, _)| self.contains(Member::new(*rank as u16)))
            .map(|(_, entry)| entry)
            .find(|entry| usize::from(entry.index) > after);
        Some(equals.unwrap_or(entry).task)
    }
}

/// Sorts tasks into ranks, most important first: the index of the task of each rank, and how many
/// equals follow it.
pub const fn sort<const N: usize>(priorities: &[u8; N]) -> [Rank<()>; N] {
    let mut order = [Rank {
        task: (),
        index: 0,
        equals: 0,
    }; N];
    let mut task = 0;
    while task < N {
        let (mut rank, mut equals, mut other) = (0, 0, 0);
        while other < N {
            let (theirs, ours) = (priorities[other], priorities[task]);
            if theirs < ours || theirs == ours && other < task {
                rank += 1;
            }
            if theirs == ours && other > task {
                equals += 1;
            }
            other += 1;
        }
        order[rank] = Rank {
            task: (),
            index: task as u16,
            equals,
        };
        task += 1;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule by definition: scan all tasks from `after + 1` round to `after`, keep the first of
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

    fn check<const N: usize, const W: usize>(priorities: &[u8; N], members: &[bool; N]) {
        let order = sort(priorities);
        let order = order.map(|rank| Rank {
            task: rank.index,
            index: rank.index,
            equals: rank.equals,
        });
        let mut table = vec![None; entries(N)];
        for (entry, rank) in table.iter_mut().zip(&order) {
            *entry = (rank.equals == 0).then_some(rank.task);
        }
        let member = |task| {
            let rank = order
                .iter()
                .position(|rank| rank.task == task as u16)
                .unwrap();
            Member::new(rank as u16)
        };
        let mut set = TaskSet::<W>::EMPTY;
        for task in (0..N).filter(|&task| members[task]) {
            set.insert(member(task));
            assert!(set.contains(member(task)));
        }
        for after in 0..N {
            let expected = by_scan(priorities, members, after);
            let case = format!("{priorities:?} {members:?} {after}");
            assert_eq!(set.pick(&order, after), expected, "{case}");
            if let Some(sole) = set.sole(&table) {
                assert_eq!(Some(sole), expected, "{case}");
            } else {
                let rivals = |task: u16| {
                    let same = |other: &usize| priorities[*other] == priorities[task as usize];
                    (0..N).filter(same).count()
                };
                assert!(expected.is_none_or(|task| rivals(task) > 1), "{case}");
            }
        }
        for task in 0..N {
            set.remove(member(task));
        }
        assert_eq!(set, TaskSet::EMPTY);
    }

    #[test]
    fn picks_as_a_scan_would_for_all_small_systems() {
        for code in 0..3u32.pow(5) {
            let priorities = std::array::from_fn(|i| (code / 3u32.pow(i as u32) % 3) as u8);
            for bits in 0..32 {
                check::<5, 1>(&priorities, &std::array::from_fn(|i| bits >> i & 1 != 0));
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
            let priorities = std::array::from_fn(|_| (next() % 9) as u8);
            let members = std::array::from_fn(|_| next() % 5 == 0);
            check::<70, { words(70) }>(&priorities, &members);
        }
    }

    #[test]
    fn an_empty_set_has_no_member() {
        let empty = TaskSet::<2>::EMPTY;
        assert!(empty.is_empty());
        assert_eq!(empty.first(), 64);
        assert_eq!(empty.pick::<u16>(&[], 0), None);
        assert_eq!(empty.sole(&[Some(7u16); 64]), None);
    }
}
