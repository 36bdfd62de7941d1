//! What firmware a boot runs, in words: the content of its boot record.

use crate::image_id::ImageId;
use crate::text::printable;
use crashlog_format::BootRecord;
use serde_json::{Value, json};

/// Digits of a commit that are shown, as Git abbreviates it; `--json` has all.
const COMMIT_DIGITS: usize = 12;
/// Behind a commit with changes.
const DIRTY: &str = "-dirty";

/// Name and image, version, commit and board: what of it is known.
pub fn names(record: &BootRecord<'_>) -> String {
    let BootRecord {
        version,
        epoch,
        app,
        image,
        board,
        commit,
        ..
    } = *record;
    let mut parts: Vec<String> = [app, image]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|text| printable(text.as_bytes()))
        .collect();
    parts.push(format!("version {version}"));
    if epoch != 0 {
        parts.push(format!("epoch {epoch}"));
    }
    if !commit.is_empty() {
        let (digits, dirty) = match commit.strip_suffix(DIRTY) {
            Some(digits) => (digits, DIRTY),
            None => (commit, ""),
        };
        let digits: String = digits.chars().take(COMMIT_DIGITS).collect();
        parts.push(format!("(git {}{dirty})", printable(digits.as_bytes())));
    }
    if !board.is_empty() {
        parts.push(format!("for {}", printable(board.as_bytes())));
    }
    parts.join(" ")
}

/// Name, image and version: what of it is known.
pub fn short(record: &BootRecord<'_>) -> String {
    names(&BootRecord {
        board: "",
        commit: "",
        ..*record
    })
}

/// As one line of the log.
pub fn line(record: &BootRecord<'_>) -> String {
    let image = ImageId::known(record.image_id);
    let image = image.map_or("not known".to_owned(), |id| id.to_string());
    format!("{}, image {image}", names(record))
}

/// As JSON; what is not known is null.
pub fn value(record: &BootRecord<'_>) -> Value {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "image_id": ImageId::known(record.image_id).map(|id| id.to_string()),
        "app": text(record.app),
        "image": text(record.image),
        "version": record.version,
        "epoch": record.epoch,
        "board": text(record.board),
        "commit": text(record.commit),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_shown() {
        let mut record = BootRecord {
            image_id: 0xac7f_1045_79de_0074,
            version: 2,
            epoch: 0,
            app: "demo",
            image: "default",
            board: "ast2600-evb",
            commit: "2cf33c0f7280bf4b8391227169654265a2864fee-dirty",
            ends: crashlog_format::BootEnds::NONE,
            last_ran: None,
        };
        assert_eq!(
            line(&record),
            "demo default version 2 (git 2cf33c0f7280-dirty) for ast2600-evb, image 7400de7945107fac"
        );
        assert_eq!(value(&record)["commit"], record.commit);
        record = BootRecord {
            image_id: 0,
            epoch: 1,
            app: "\u{1b}[31m",
            image: "",
            board: "",
            commit: "",
            ..record
        };
        let shown = line(&record);
        assert!(
            shown.ends_with("version 2 epoch 1, image not known") && !shown.contains('\u{1b}'),
            "{shown}"
        );
        assert_eq!(value(&record)["image_id"], Value::Null);
        assert_eq!(value(&record)["board"], Value::Null);
    }
}
