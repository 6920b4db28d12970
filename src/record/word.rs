//! What a slot word says of one page's tags.
//!
//! This is the one place that knows the word's bits:
//!
//! | low bits | the word is | payload |
//! |---|---|---|
//! | all 0 | nothing: no record | |
//! | `01` | the encoded tags themselves, 62 bits ([`InlineCode`]) | none |
//! | `10` | a pointer to an object of the slabs | encoded, its size in the slab's head |
//! | `000` | a pointer to memory of the host | raw, [`TAG_BYTES`](crate::tags::PageSize::TAG_BYTES) |
//! | `100` | a pointer to memory of the host | its own size in two bytes, then encoded |
//!
//! Objects of the slabs are aligned to 4, and what comes from the host to 8, so a pointer keeps
//! all its bits but the zeroes at the bottom (KASAN tags, 52-bit addresses), and still points into
//! the object (kmemleak). One bit tells what has no payload, one which memory it lies in.

use core::{num::NonZero, ptr::NonNull};

use crate::{codec::InlineCode, index::Word};

const _: () = assert!(usize::BITS == 64, "a slot word is a pointer of 64 bits");

/// What memory of the host holds.
pub(super) enum Payload {
    Raw(NonNull<u8>),
    Sized(NonNull<u8>),
}

pub(super) const INLINE: usize = 1;
pub(super) const SLAB: usize = 2;
pub(super) const RAW: usize = 0;
pub(super) const SIZED: usize = 4;

/// Of a word that is neither inline nor of the slabs.
pub(super) fn payload_of_host(word: Word) -> Option<Payload> {
    if word.addr() & SIZED == RAW {
        NonNull::new(word).map(Payload::Raw)
    } else {
        NonNull::new(word.wrapping_byte_sub(SIZED)).map(Payload::Sized)
    }
}

/// Of a word that is not inline: true if its payload is an object of the slabs.
pub(super) fn is_of_slab(word: Word) -> bool {
    word.addr() & SLAB != 0
}

/// That object.
///
/// # Safety
/// The word is a record's.
pub(super) unsafe fn object_of(word: Word) -> NonNull<u8> {
    // SAFETY: the record was made of a pointer that is not null, with this bit, which its alignment leaves clear.
    unsafe { NonNull::new_unchecked(word.wrapping_byte_sub(SLAB)) }
}

pub(super) fn inline_record(code: InlineCode) -> Record {
    let word = NonZero::<usize>::MIN | (code.bits() << 2) as usize | INLINE;
    Record(NonNull::dangling().with_addr(word))
}

/// True if the word holds the tags itself, so that reading it needs no lock.
pub(crate) fn is_inline(word: Word) -> bool {
    word.addr() & INLINE != 0
}

/// A record that no index refers to yet, or no more.
#[must_use = "a record that is dropped leaks its payload"]
pub(crate) struct Record(NonNull<u8>);

impl Record {
    /// One that owns a payload of this kind.
    #[inline]
    pub(super) fn of_payload(payload: NonNull<u8>, kind: usize) -> Self {
        Self(payload.map_addr(|a| a | kind))
    }

    /// The word to put into a slot; the index owns the record now.
    pub(crate) fn into_word(self) -> Word {
        self.0.as_ptr()
    }

    /// # Safety
    /// The word came out of an index that owned it, and no one else has it.
    pub(crate) unsafe fn from_word(word: Word) -> Option<Self> {
        NonNull::new(word).map(Self)
    }
}
