//! The bytes of packets.

use hubpack::SerializedSize;
use humpty::udp::{Error, Header, Request, Response, version};

fn bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut buffer = [0; 512];
    let length = hubpack::serialize(&mut buffer, value).expect("it fits");
    buffer[..length].to_vec()
}

#[test]
fn requests_have_the_numbers_of_their_places() {
    let header = Header {
        version: version::CURRENT,
        message_id: 0x0102,
    };
    assert_eq!(bytes(&header), [3, 2, 1, 0, 0, 0, 0, 0, 0]);
    let area = Request::ReadDump {
        index: 1,
        offset: 256,
    };
    assert_eq!(bytes(&area), [0, 1, 0, 1, 0, 0]);
    let region = Request::DumpTaskRegion {
        task_index: 2,
        start: 3,
        length: 4,
    };
    assert_eq!(bytes(&region), [5, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]);
    assert_eq!(bytes(&Request::GetImageId), [7]);
    assert_eq!(Request::MAX_SIZE, 13);
}

#[test]
fn answers_are_read_back() {
    let data = core::array::from_fn(|at| at as u8);
    let answers = [
        Ok(Response::ReadDump(data)),
        Ok(Response::DumpTask(3)),
        Ok(Response::GetImageId([8; 8])),
        Err(Error::VersionMismatch { ours: 3, theirs: 0 }),
        Err(Error::DumpAgentUnsupported),
    ];
    for answer in answers {
        let sent = bytes(&answer);
        let (read, rest) = hubpack::deserialize::<Result<Response, Error>>(&sent).expect("whole");
        assert_eq!((read, rest), (answer, &[][..]));
        assert!(hubpack::deserialize::<Result<Response, Error>>(&sent[..sent.len() - 1]).is_err());
    }
    assert_eq!(bytes(&answers[0])[..4], [0, 0, 0, 1]);
    assert_eq!(bytes(&answers[0]).len(), 258);
    assert_eq!(bytes(&answers[3]), [1, 1, 3, 0]);
    assert_eq!(bytes(&answers[4]), [1, 2]);
}
