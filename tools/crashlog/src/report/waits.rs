//! A drawing of who waited for whom.
//!
//! A task waits for one other at most. So the tasks that wait form trees, at whose roots is a task
//! that waits for none, and cycles. A cycle is a deadlock if no notification ends one of its waits.
//! The waiting task is left of the one it waits for, and the roots are in the last column. A cycle
//! is in one row, with a line from its end back to its start.

/// Greatest number of tasks that are looked at, and of rows that are drawn.
const TASKS: usize = 256;
const ROWS: usize = 40;
/// Measures of the drawing.
const COLUMN: usize = 220;
const ROW: usize = 40;
const BOX_WIDTH: usize = 156;
const BOX_HEIGHT: usize = 26;
/// Room around the boxes, where the line of a cycle goes.
const MARGIN: usize = 16;
/// Longest name that fits a box.
const NAME_MAX: usize = 20;

/// A task.
pub struct Waiter {
    pub name: String,
    /// Index of the task it waits for.
    pub on: Option<usize>,
    /// How it waits, in two or three words.
    pub how: &'static str,
    /// Whether only that task can end it, and no notification.
    pub is_lasting: bool,
    pub has_failed: bool,
}

pub struct Drawing {
    pub width: usize,
    pub height: usize,
    pub boxes: Vec<TaskBox>,
    pub arrows: Vec<Arrow>,
    /// The cycles, in words.
    pub deadlocks: Vec<String>,
    /// Number of tasks that are not drawn, for lack of room.
    pub left_out: usize,
}

pub struct TaskBox {
    pub class: &'static str,
    pub name: String,
    pub x: usize,
    pub y: usize,
    /// Where its name is.
    pub text_x: usize,
    pub text_y: usize,
}

pub struct Arrow {
    pub class: &'static str,
    pub path: String,
    /// What it means, in words.
    pub title: String,
}

/// Where a task is: columns from the right, rows from the top.
#[derive(Clone, Copy)]
struct Spot {
    depth: usize,
    row: usize,
}

/// Draws those of the tasks that wait or are waited for; `None` if there is none.
pub fn draw(tasks: &[Waiter]) -> Option<Drawing> {
    let tasks = tasks.get(..TASKS).unwrap_or(tasks);
    let on = |task: usize| tasks.get(task)?.on.filter(|on| *on < tasks.len());
    let cycles = cycles(tasks.len(), on);
    let is_lasting = |task: &usize| tasks.get(*task).is_some_and(|task| task.is_lasting);
    let deadlocks = || cycles.iter().filter(|cycle| cycle.iter().all(is_lasting));
    let spots = spots(tasks.len(), on, &cycles);
    let drawn = || {
        (0..)
            .zip(&spots)
            .filter_map(|(task, spot)| Some((task, (*spot)?)))
    };
    let columns = drawn().map(|(_, spot)| spot.depth + 1).max()?;
    let rows = drawn().map(|(_, spot)| spot.row + 1).max()?;
    let left = |spot: Spot| MARGIN + (columns - 1 - spot.depth) * COLUMN;
    let top = |spot: Spot| MARGIN + spot.row * ROW;

    let mut boxes = Vec::new();
    let mut arrows = Vec::new();
    let mut left_out = 0;
    for (task, spot) in drawn() {
        if spot.row >= ROWS {
            left_out += 1;
            continue;
        }
        let Some(waiter) = tasks.get(task) else {
            continue;
        };
        boxes.push(TaskBox {
            class: if waiter.has_failed { "failed" } else { "task" },
            name: short(&waiter.name),
            x: left(spot),
            y: top(spot),
            text_x: left(spot) + BOX_WIDTH / 2,
            text_y: top(spot) + 17,
        });
        let Some((to, end)) = on(task).and_then(|to| Some((to, (*spots.get(to)?)?))) else {
            continue;
        };
        let is_in_deadlock = deadlocks().any(|cycle| cycle.contains(&task));
        let start = (left(spot) + BOX_WIDTH, top(spot) + BOX_HEIGHT / 2);
        let end = (left(end), top(end) + BOX_HEIGHT / 2);
        arrows.push(Arrow {
            class: if is_in_deadlock { "deadlock" } else { "wait" },
            path: path(start, end, spot.depth == 0),
            title: format!(
                "{} {} {}",
                waiter.name,
                waiter.how,
                tasks.get(to).map_or("", |task| &task.name)
            ),
        });
    }
    let deadlocks = deadlocks().map(|cycle| {
        let waits = cycle.iter().filter_map(|task| {
            let waiter = tasks.get(*task)?;
            let on = tasks.get(waiter.on?)?;
            Some(format!("{} {} {}", waiter.name, waiter.how, on.name))
        });
        waits.collect::<Vec<_>>().join(", ")
    });
    Some(Drawing {
        width: (columns - 1) * COLUMN + BOX_WIDTH + 2 * MARGIN,
        height: rows.min(ROWS) * ROW + MARGIN,
        boxes,
        arrows,
        deadlocks: deadlocks.collect(),
        left_out,
    })
}

/// The cycles; each begins with the task of the lowest index.
fn cycles(count: usize, on: impl Fn(usize) -> Option<usize>) -> Vec<Vec<usize>> {
    let mut cycles = Vec::new();
    // The walk in which each task was passed.
    let mut passed = vec![None; count];
    for start in 0..count {
        let mut task = start;
        // A walk passes each task once.
        for _ in 0..=count {
            match passed.get(task).copied().flatten() {
                Some(walk) if walk == start => {
                    let mut cycle = vec![task];
                    let next = std::iter::successors(on(task), |task| on(*task));
                    cycle.extend(next.take_while(|next| *next != task).take(count));
                    let lowest = (0..cycle.len()).min_by_key(|at| cycle.get(*at).copied());
                    cycle.rotate_left(lowest.unwrap_or(0));
                    cycles.push(cycle);
                    break;
                }
                Some(_) => break,
                None => {}
            }
            if let Some(passed) = passed.get_mut(task) {
                *passed = Some(start);
            }
            match on(task) {
                Some(next) => task = next,
                None => break,
            }
        }
    }
    cycles
}

/// The place of each task that is drawn.
fn spots(
    count: usize,
    on: impl Fn(usize) -> Option<usize>,
    cycles: &[Vec<usize>],
) -> Vec<Option<Spot>> {
    let mut waiters = vec![Vec::new(); count];
    for task in 0..count {
        if let Some(waiters) = on(task).and_then(|on| waiters.get_mut(on)) {
            waiters.push(task);
        }
    }
    // The last of a cycle is its root, and in each row of waiting tasks that of the cycle is first.
    let is_root = |task: usize| match cycles.iter().find(|cycle| cycle.contains(&task)) {
        Some(cycle) => cycle.last() == Some(&task),
        None => on(task).is_none(),
    };
    for waiters in &mut waiters {
        waiters.sort_by_key(|task| !cycles.iter().any(|cycle| cycle.contains(task)));
    }
    let mut spots = vec![None; count];
    let mut row = 0;
    for root in (0..count).filter(|task| is_root(*task)) {
        if waiters.get(root).is_none_or(Vec::is_empty) {
            continue;
        }
        // Each task with the row of the one it waits for, if it is the first that does.
        let mut next = vec![(root, 0, None)];
        while let Some((task, depth, first_row)) = next.pop() {
            let Some(spot) = spots.get_mut(task).filter(|spot| spot.is_none()) else {
                continue;
            };
            let own_row = first_row.unwrap_or(row);
            row = row.max(own_row + 1);
            *spot = Some(Spot {
                depth,
                row: own_row,
            });
            let waiting = waiters.get(task).map_or(&[][..], Vec::as_slice);
            let waiting = waiting.iter().enumerate().rev();
            next.extend(
                waiting
                    .map(|(number, waiter)| (*waiter, depth + 1, (number == 0).then_some(own_row))),
            );
        }
    }
    spots
}

/// A line with the head of an arrow. One that goes back to the start of its cycle passes below the
/// row.
fn path((x, y): (usize, usize), (to_x, to_y): (usize, usize), goes_back: bool) -> String {
    let head = format!("M{} {}l7 4l-7 4", to_x - 7, to_y - 4);
    if goes_back {
        format!(
            "M{x} {y}h9v{down}H{back}v-{down}h9{head}",
            down = (BOX_HEIGHT + ROW - BOX_HEIGHT) / 2 + 1,
            back = to_x - 9,
        )
    } else {
        format!(
            "M{x} {y}C{} {y} {} {to_y} {to_x} {to_y}{head}",
            x + 32,
            to_x - 32
        )
    }
}

fn short(name: &str) -> String {
    if name.chars().count() <= NAME_MAX {
        return name.to_owned();
    }
    let start: String = name.chars().take(NAME_MAX - 1).collect();
    start + "\u{2026}"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(waits: &[Option<usize>]) -> Vec<Waiter> {
        let tasks = (0..).zip(waits).map(|(number, on): (usize, _)| Waiter {
            name: format!("t{number}"),
            on: *on,
            how: "waits for",
            is_lasting: number != 9,
            has_failed: false,
        });
        tasks.collect()
    }

    #[test]
    fn tasks_that_nobody_waits_for_are_not_drawn() {
        assert!(draw(&tasks(&[None, None])).is_none());
        assert!(
            draw(&tasks(&[None, Some(9)])).is_none(),
            "no task has that index"
        );
        assert!(draw(&[]).is_none());
    }

    #[test]
    fn chains_end_in_the_last_column() {
        let drawing = draw(&tasks(&[Some(1), Some(2), None, Some(2), None])).expect("drawing");
        let place = |name: &str| {
            let task = drawing.boxes.iter().find(|task| task.name == name);
            task.map(|task| (task.x, task.y))
        };
        let (left, top) = (MARGIN, MARGIN);
        assert_eq!(place("t0"), Some((left, top)));
        assert_eq!(place("t1"), Some((left + COLUMN, top)));
        assert_eq!(place("t2"), Some((left + 2 * COLUMN, top)));
        assert_eq!(place("t3"), Some((left + COLUMN, top + ROW)));
        assert_eq!(place("t4"), None);
        assert_eq!(drawing.arrows.len(), 3);
        assert!(drawing.deadlocks.is_empty());
    }

    #[test]
    fn deadlocks_are_spelled_out() {
        let drawing =
            draw(&tasks(&[Some(1), Some(2), Some(1), Some(0), Some(4)])).expect("drawing");
        assert_eq!(
            drawing.deadlocks,
            ["t1 waits for t2, t2 waits for t1", "t4 waits for t4"]
        );
        assert_eq!(drawing.boxes.len(), 5);
        let red = drawing
            .arrows
            .iter()
            .filter(|arrow| arrow.class == "deadlock");
        assert_eq!(red.count(), 3);
        // The cycle is in one row.
        let rows: Vec<_> = ["t1", "t2"]
            .map(|name| {
                drawing
                    .boxes
                    .iter()
                    .find(|task| task.name == name)
                    .map(|task| task.y)
            })
            .into();
        assert_eq!(rows[0], rows[1]);
    }

    #[test]
    fn a_cycle_that_a_notification_ends_is_no_deadlock() {
        let mut waits = vec![None; 10];
        waits[8] = Some(9);
        waits[9] = Some(8);
        let drawing = draw(&tasks(&waits)).expect("drawing");
        assert_eq!((drawing.boxes.len(), drawing.arrows.len()), (2, 2));
        assert!(drawing.deadlocks.is_empty());
        assert!(drawing.arrows.iter().all(|arrow| arrow.class == "wait"));
    }

    #[test]
    fn every_graph_of_five_tasks_is_drawn() {
        for number in 0..6_usize.pow(5) {
            let waits: Vec<_> = (0..5)
                .map(|task| Some(number / 6_usize.pow(task) % 6).filter(|on| *on < 5))
                .collect();
            let Some(drawing) = draw(&tasks(&waits)) else {
                assert!(waits.iter().all(Option::is_none));
                continue;
            };
            let edges = waits.iter().flatten().count();
            assert_eq!(drawing.arrows.len(), edges, "{waits:?}");
            // No two boxes are at one place.
            let mut places: Vec<_> = drawing.boxes.iter().map(|task| (task.x, task.y)).collect();
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), drawing.boxes.len(), "{waits:?}");
        }
    }

    #[test]
    fn a_system_of_many_tasks_is_cut() {
        let many = tasks(&[Some(0)].repeat(5_000));
        let drawing = draw(&many).expect("drawing");
        assert!(drawing.boxes.len() <= ROWS + 1 && drawing.left_out > 200);
        let chain: Vec<_> = (1..=300).map(Some).collect();
        assert_eq!(draw(&tasks(&chain)).expect("drawing").boxes.len(), TASKS);
    }
}
