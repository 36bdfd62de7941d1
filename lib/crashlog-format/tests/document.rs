//! Holds the worked hex dumps of `doc/format.md` against the code.

use crashlog_format::page::{Page, PageHeader, RecordHeader};
use crashlog_format::{Crc32c, FormatId, Geometry, Level, Stream, Superblock};

const DOCUMENT: &str = include_str!("../../../doc/format.md");
const FORMAT: FormatId = FormatId::new(0x0123_4567_89ab_cdef);

/// The bytes of the dump in the fenced block with this name.
fn dump(name: &str) -> Vec<u8> {
    let (_, rest) = DOCUMENT
        .split_once(&format!("```{name}\n"))
        .expect("the document has the dump");
    let (text, _) = rest.split_once("```").expect("the dump ends");
    text.lines()
        .flat_map(|line| line.split_whitespace().skip(1))
        .map(|byte| u8::from_str_radix(byte, 16).expect("a byte in hex"))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .chunks(16)
        .enumerate()
        .map(|(line, bytes)| {
            let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{:03x}  {}\n", line * 16, bytes.join(" "))
        })
        .collect()
}

#[test]
fn the_superblock_is_as_documented() {
    let geometry = Geometry::new(131_072, 16, 512).unwrap();
    let block = Superblock::new(FORMAT, &geometry).to_block();
    let documented = dump("superblock");
    assert_eq!(hex(&block[..32]), hex(&documented));
    assert!(block[32..].iter().all(|byte| *byte == 0));
    assert_eq!(
        Superblock::parse(&block, 131_072),
        Ok((FORMAT, geometry)),
        "what is documented is accepted"
    );
}

#[test]
fn a_page_is_as_documented() {
    use zerocopy::IntoBytes;
    let payload = b"hello\n";
    let header = RecordHeader {
        stream: Stream::Console,
        level: Level::Info,
        task: 3,
        lost: 0,
        time: 1_500,
    };
    let mut records = header.to_bytes(payload.len() as u16).to_vec();
    records.extend(payload);
    records.resize(records.len().next_multiple_of(4), 0);
    let crc = Crc32c::new().bytes(&records).value();
    let header = PageHeader::new(FORMAT, 7, 2, 41, records.len() as u16, crc);
    let bytes = [header.as_bytes(), &records].concat();
    let documented = dump("page");
    assert_eq!(hex(&bytes), hex(&documented));

    let mut block = documented;
    block.resize(512, 0);
    let page = Page::parse(&block, FORMAT).expect("what is documented is accepted");
    assert_eq!(page.records().count(), 1);
}
