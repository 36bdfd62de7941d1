//! The parts of the page that are made of a snapshot and of an archive, with hostile names.

use super::page::{Asset, Emergency, Page};
use super::timeline::{Drawing, Timeline};
use super::{memory, rings, tasks};
use crate::describe::Nameless;
use crate::postmortem::{
    MemoryRange, PostMortem, Region, RegionContent, Ring, RingEntry, Stack, TaskState, Wait,
    WaitKind,
};
use crate::value::Value;
use scraper::{Html, Selector};

const HOSTILE: &str = "</td><script>x</script>\"'<img src=x>";

fn task(index: u16, is_faulted: bool) -> TaskState {
    TaskState {
        index,
        name: format!("{index}{HOSTILE}"),
        generation: 2,
        priority: 3,
        state: HOSTILE.to_owned(),
        is_faulted,
        is_crashed: is_faulted,
        registers: None,
        calls: Vec::new(),
        backtrace: vec![HOSTILE.to_owned()],
        entry: MemoryRange { base: 0, size: 0 },
        frame: None,
        memory: vec![MemoryRange {
            base: 0xffff_fe00,
            size: u32::MAX,
        }],
        stack: Some(Stack {
            base: 0xffff_ff00,
            size: 0x400,
            margin: 16,
        }),
    }
}

fn wait(from: u16, to: u16, hopeless: Option<&str>) -> Wait {
    Wait {
        from,
        to,
        kind: WaitKind::Reply,
        may_be_notified: false,
        hopeless: hopeless.map(str::to_owned),
        text: format!("{from} waits for {to}"),
    }
}

fn post() -> PostMortem {
    let region = |content| Region {
        name: HOSTILE.to_owned(),
        owner: 1,
        address: u32::MAX,
        length: u32::MAX,
        is_device: true,
        content,
        parts: Vec::new(),
    };
    let entry = |payload: String| RingEntry {
        index: usize::MAX,
        line: u64::MAX,
        generation: 1,
        count: 1,
        payload,
    };
    let ring = |task, entries| Ring {
        task,
        name: HOSTILE.to_owned(),
        totals: Vec::new(),
        entries,
    };
    PostMortem {
        ticks: 0,
        epitaph: None,
        current: None,
        kernel_stack: None,
        texts: Vec::new(),
        tasks: vec![
            task(0, false),
            task(1, true),
            task(2, false),
            task(3, false),
        ],
        waits: vec![
            wait(0, 1, Some("has failed")),
            wait(2, 3, None),
            wait(3, 2, None),
            wait(1, u16::MAX, None),
        ],
        deadlocks: vec![vec![2, 3]],
        rings: vec![
            ring(2, vec![entry(HOSTILE.to_owned())]),
            ring(
                1,
                (0..2_000)
                    .map(|_| entry("\u{202e}\u{e4}".repeat(1_000)))
                    .collect(),
            ),
            ring(3, Vec::new()),
        ],
        regions: vec![
            region(RegionContent::Variable(
                HOSTILE.to_owned(),
                Value::Unsigned(7),
            )),
            region(RegionContent::Bytes(vec![0; 1 << 20])),
            region(RegionContent::Missing(u32::MAX, "lost")),
        ],
        notes: vec![HOSTILE.to_owned()],
        important: vec![1, u16::MAX],
    }
}

fn page(post: &PostMortem) -> Html {
    let text = Page {
        style: Asset::new(""),
        script: Asset::new("0;"),
        title: HOSTILE.to_owned(),
        subtitle: HOSTILE.to_owned(),
        what: vec![HOSTILE.to_owned()],
        messages: Vec::new(),
        facts: Vec::new(),
        timeline: Timeline {
            rows: Vec::new(),
            has_utc: false,
            note: String::new(),
            filters: Vec::new(),
            drawing: Drawing {
                height: 0,
                lanes: Vec::new(),
                ticks: Vec::new(),
                axis: Vec::new(),
                crash: String::new(),
                bottom: 0,
            },
        },
        registers: Vec::new(),
        frames: Vec::new(),
        dumps: Vec::new(),
        tasks: tasks::of_system(post, None),
        rings: rings::read(post),
        map: memory::Saved {
            note: String::new(),
            pieces: vec![memory::Piece {
                start: 0xffff_fe00,
                length: 0x200,
                is_saved: true,
            }],
        }
        .map(Some(post)),
        regions: memory::values(post, &Nameless),
        emergency: Emergency {
            written: String::new(),
            steps: Vec::new(),
            facts: Vec::new(),
        },
        card: Vec::new(),
        missing: post.notes.clone(),
        version: "0",
    }
    .html()
    .expect("page");
    assert!(text.len() < 1 << 20, "{}", text.len());
    assert!(!text.contains('\u{202e}'));
    let page = Html::parse_document(&text);
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    assert_eq!(texts(&page, "script").len(), 1);
    assert_eq!(texts(&page, "img").len(), 0);
    page
}

fn texts(page: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).expect("selector");
    let found = page.select(&selector);
    found.map(|element| element.text().collect()).collect()
}

#[test]
fn tasks_rings_and_regions_of_a_snapshot_are_shown() {
    let page = page(&post());
    assert_eq!(texts(&page, ".tasks tbody tr").len(), 4);
    assert_eq!(texts(&page, ".tasks .failed th"), [format!("1{HOSTILE}")]);
    assert_eq!(
        texts(&page, ".tasks .tight").len(),
        4,
        "little of each stack is left"
    );
    assert_eq!(
        texts(&page, "#tasks pre").len(),
        4,
        "a backtrace for each task"
    );
    assert_eq!(texts(&page, ".graph .deadlock").len(), 2);
    assert_eq!(
        texts(&page, ".graph .wait").len(),
        1,
        "the kernel is not a task"
    );
    assert_eq!(texts(&page, ".hopeless li"), ["Stuck: 0 waits for 1."]);
    // That of the crashed task comes first and is open; one without entries is left out.
    assert_eq!(texts(&page, ".ring").len(), 2);
    let first = texts(&page, ".ring[open] summary");
    assert_eq!(
        first,
        [format!(
            "1{HOSTILE} {HOSTILE}; 2000 entries; the last 256 are shown"
        )]
    );
    assert_eq!(texts(&page, ".ring[open] tbody tr").len(), 256);
    assert_eq!(texts(&page, ".value"), [format!("{HOSTILE} = 7")]);
    assert_eq!(
        texts(&page, "#memory .warning"),
        ["0xffffffff is missing: lost"]
    );
    assert_eq!(texts(&page, ".map .stack-used").len(), 4);
    // All are at one place: there is no room for every name.
    assert_eq!(
        texts(&page, ".map .owner"),
        [format!("0{HOSTILE}"), format!("1{HOSTILE}")]
    );
}

#[test]
fn a_system_without_tasks_is_a_page() {
    let mut post = post();
    post.tasks.clear();
    post.rings.clear();
    post.regions.clear();
    let page = page(&post);
    assert!(texts(&page, "#tasks, #rings").is_empty());
}
