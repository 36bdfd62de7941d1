//! Conversions that `derive(IdolError)` makes.

use derive_idol_err::IdolError;
use idol_runtime::{IHaveConsideredServerDeathWithThisErrorType, RequestError};
use userlib::{FromPrimitive, Generation, dead_response_code};

#[derive(Copy, Clone, Debug, Eq, PartialEq, FromPrimitive, IdolError)]
enum Mortal {
    Full = 1,
    Gone = 0x1000,
    #[idol(server_death)]
    Restarted,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq, FromPrimitive, IdolError)]
enum Immortal {
    Full = 1,
}

fn considered<E: IHaveConsideredServerDeathWithThisErrorType>(error: E) -> E {
    error
}

#[test]
fn errors_are_their_numbers() {
    assert_eq!(u16::from(Mortal::Gone), 0x1000);
    assert_eq!(u32::from(considered(Mortal::Restarted)), 0x1001);
    assert_eq!(u32::from(RequestError::Runtime(Mortal::Full)), 1);
}

#[test]
fn numbers_convert_back_to_errors() {
    assert_eq!(Mortal::try_from(0x1000), Ok(Mortal::Gone));
    assert_eq!(Mortal::try_from(2), Err(()));
    assert_eq!(Immortal::try_from(1), Ok(Immortal::Full));
}

#[test]
fn every_dead_code_is_the_servers_death() {
    for generation in 0..=u8::MAX {
        let code = dead_response_code(Generation::from(generation));
        assert_eq!(Mortal::try_from(code), Ok(Mortal::Restarted));
        assert_eq!(Immortal::try_from(code), Err(()));
    }
    assert_eq!(Mortal::try_from(0xffff_feff), Err(()));
}
