//! Physical quantities as types.
//!
//! The compiler refuses a voltage where a temperature is meant.
//!
//! Names are those of Hubris' crate of this name.

#![no_std]
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Copy, Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(transparent)]
        pub struct $name(pub f32);
    };
}

unit!(
    /// Temperature in degrees Celsius.
    Celsius
);
unit!(
    /// Electric tension in volts.
    Volts
);
unit!(
    /// Electric current in amperes.
    Amperes
);
unit!(
    /// Electric resistance in ohms.
    Ohms
);
unit!(
    /// Power in watts.
    Watts
);

/// Speed of rotation in turns per minute.
#[derive(
    Copy,
    Clone,
    Debug,
    Eq,
    PartialEq,
    Ord,
    PartialOrd,
    Serialize,
    Deserialize,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub struct Rpm(pub u16);

/// Duty cycle of a pulse-width modulated signal in percent, 0 to 100 when made by [`TryFrom`].
#[derive(
    Copy,
    Clone,
    Debug,
    Eq,
    PartialEq,
    Ord,
    PartialOrd,
    Serialize,
    Deserialize,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub struct PWMDuty(pub u8);

/// The value is not a percentage: it is greater than 100.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct InvalidPercentage;

impl TryFrom<u8> for PWMDuty {
    type Error = InvalidPercentage;

    fn try_from(percent: u8) -> Result<Self, InvalidPercentage> {
        if percent > 100 {
            Err(InvalidPercentage)
        } else {
            Ok(Self(percent))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidPercentage, PWMDuty};

    #[test]
    fn duty_is_a_percentage() {
        assert_eq!(PWMDuty::try_from(100), Ok(PWMDuty(100)));
        assert_eq!(PWMDuty::try_from(101), Err(InvalidPercentage));
    }
}
