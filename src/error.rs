//! Errors, valued as Linux's errno so that the C ABI returns them as they are.

use core::fmt;

/// Why a call was refused. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum Error {
    /// No such record, slot or reference (`ENOENT`).
    NoEntry = 2,
    /// The host has no memory and the reserve is empty (`ENOMEM`).
    NoMemory = 12,
    /// The slot is pinned already, or has a folio in the swap cache (`EEXIST`).
    Exists = 17,
    /// An argument is outside its domain (`EINVAL`).
    Invalid = 22,
    /// No free swap slot of the size asked for (`ENOSPC`).
    NoSpace = 28,
    /// A bounded wait ran out (`ETIMEDOUT`).
    TimedOut = 110,
}

impl Error {
    /// The negative errno value of this error, as the C ABI returns it.
    #[must_use]
    pub const fn to_errno(self) -> i32 {
        // A small positive number: the negation cannot overflow.
        (self as i32).wrapping_neg()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEntry => "no such entry",
            Self::NoMemory => "out of memory",
            Self::Exists => "already pinned or cached",
            Self::Invalid => "invalid argument",
            Self::NoSpace => "no free swap slot",
            Self::TimedOut => "timed out",
        })
    }
}

impl core::error::Error for Error {}

/// The result of every fallible call.
pub type Result<T> = core::result::Result<T, Error>;
