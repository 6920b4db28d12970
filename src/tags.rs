//! Page tags: one nibble a granule, sixteen granules a word.
//!
//! Granule `i` of a page is nibble `i % 16` of word `i / 16`, the order in which
//! an LDGM of 256 bytes leaves them in its register. As bytes, words are little-endian:
//! granule `i` is bits `4i..4i+3` of a little-endian array (SEMANTICS, "page tags").

/// Bytes of memory under one tag.
pub const GRANULE: usize = 16;
/// Granules whose tags fill one `u64`.
pub const GRANULES_PER_WORD: usize = 16;

mod sealed {
    pub trait Sealed {}
}

/// The page size of a build: 4, 16 or 64 KiB.
///
/// Sealed: these three are the translation granules of the architecture
/// (Arm ARM, D8.2).
pub trait PageSize: sealed::Sealed + Copy + Send + Sync + 'static {
    /// log2 of the page's bytes.
    const SHIFT: u32;
    /// Words of a page's tags: 16, 64 or 256.
    const WORDS: usize = 1 << (Self::SHIFT - 8);
    /// Bytes of a page's tags: 128, 512 or 2048.
    const TAG_BYTES: usize = 1 << (Self::SHIFT - 5);
    /// Granules of a page: 256, 1024 or 4096.
    const GRANULES: usize = 1 << (Self::SHIFT - 4);
    /// `[u64; WORDS]`, for those who hold a page's tags whole.
    type Words: AsRef<[u64]> + AsMut<[u64]> + Copy + PartialEq + core::fmt::Debug + Send + Sync;
    /// All granules tagged 0.
    const ZERO: Self::Words;
}

macro_rules! page_size {
    ($(#[$doc:meta])* $name:ident, $shift:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name;
        impl sealed::Sealed for $name {}
        impl PageSize for $name {
            const SHIFT: u32 = $shift;
            type Words = [u64; 1 << ($shift - 8)];
            const ZERO: Self::Words = [0; 1 << ($shift - 8)];
        }
    };
}

page_size!(
    /// 4 KiB pages: 256 granules, 128 bytes of tags.
    Page4K,
    12
);
page_size!(
    /// 16 KiB pages: 1024 granules, 512 bytes of tags.
    Page16K,
    14
);
page_size!(
    /// 64 KiB pages: 4096 granules, 2048 bytes of tags.
    Page64K,
    16
);

/// Where a page's tags are read from, a word of sixteen granules at a time, so
/// that no one has to hold a 64 KiB page's two kilobytes on the stack.
///
/// A source may be read more than once and may change between reads (a page that
/// someone writes to): whoever reads it must stay in bounds whatever comes.
pub trait TagSource {
    /// The tags of granules `16 * index` to `16 * index + 15`. An `index` past the
    /// page reads as 0.
    fn word(&self, index: usize) -> u64;
}

/// Where a page's tags are written to.
pub trait TagSink {
    /// Writes the tags of granules `16 * index` to `16 * index + 15`. An `index`
    /// past the page is ignored.
    fn set_word(&mut self, index: usize, word: u64);

    /// Writes `tag`, its lowest four bits, to every granule of the first `words` words, as most pages have
    /// it. `words` is not more than a page's.
    ///
    /// For memory that is filled faster than written word by word.
    fn fill_words(&mut self, words: usize, tag: u64) {
        let word = (tag & TAG_MASK).wrapping_mul(ALL_GRANULES);
        (0..words).for_each(|index| self.set_word(index, word));
    }
}

/// The tag of the lowest granule of a word.
pub(crate) const TAG_MASK: u64 = 0xf;
/// Times a tag, sixteen granules of it.
pub(crate) const ALL_GRANULES: u64 = 0x1111_1111_1111_1111;

/// A byte of two granules of `tag`.
#[must_use]
pub const fn byte_of(tag: u64) -> u8 {
    (tag & TAG_MASK).wrapping_mul(0x11) as u8
}

impl TagSource for [u64] {
    fn word(&self, index: usize) -> u64 {
        self.get(index).copied().unwrap_or(0)
    }
}

impl TagSink for [u64] {
    fn set_word(&mut self, index: usize, word: u64) {
        if let Some(slot) = self.get_mut(index) {
            *slot = word;
        }
    }

    fn fill_words(&mut self, words: usize, tag: u64) {
        let words = words.min(self.len());
        // SAFETY: so many words are the slice's, and any bytes make a `u64`.
        unsafe { self.as_mut_ptr().write_bytes(byte_of(tag), words) }
    }
}

/// A page's tags as the C ABI passes them: bytes, little-endian words, no alignment.
impl TagSource for [u8] {
    fn word(&self, index: usize) -> u64 {
        index
            .checked_mul(8)
            .and_then(|at| self.get(at..)?.first_chunk::<8>())
            .map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

impl TagSink for [u8] {
    fn set_word(&mut self, index: usize, word: u64) {
        if let Some(bytes) =
            index.checked_mul(8).and_then(|at| self.get_mut(at..)?.first_chunk_mut::<8>())
        {
            *bytes = word.to_le_bytes();
        }
    }

    fn fill_words(&mut self, words: usize, tag: u64) {
        // Of a word that is not there as a whole nothing is written.
        let len = words.saturating_mul(8).min(self.len() & !7);
        self.get_mut(..len).unwrap_or_default().fill(byte_of(tag));
    }
}

impl<const N: usize> TagSource for [u64; N] {
    fn word(&self, index: usize) -> u64 {
        self.as_slice().word(index)
    }
}

impl<const N: usize> TagSink for [u64; N] {
    fn set_word(&mut self, index: usize, word: u64) {
        self.as_mut_slice().set_word(index, word);
    }

    fn fill_words(&mut self, words: usize, tag: u64) {
        self.as_mut_slice().fill_words(words, tag);
    }
}

impl<const N: usize> TagSource for [u8; N] {
    fn word(&self, index: usize) -> u64 {
        self.as_slice().word(index)
    }
}

impl<const N: usize> TagSink for [u8; N] {
    fn set_word(&mut self, index: usize, word: u64) {
        self.as_mut_slice().set_word(index, word);
    }

    fn fill_words(&mut self, words: usize, tag: u64) {
        self.as_mut_slice().fill_words(words, tag);
    }
}

impl<T: TagSource + ?Sized> TagSource for &T {
    fn word(&self, index: usize) -> u64 {
        (**self).word(index)
    }
}

impl<T: TagSource + ?Sized> TagSource for &mut T {
    fn word(&self, index: usize) -> u64 {
        (**self).word(index)
    }
}

impl<T: TagSink + ?Sized> TagSink for &mut T {
    fn set_word(&mut self, index: usize, word: u64) {
        (**self).set_word(index, word);
    }

    fn fill_words(&mut self, words: usize, tag: u64) {
        (**self).fill_words(words, tag);
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;
    use crate::kvm::GranuleBytes;

    /// Word by word, as a sink does that says nothing of filling.
    struct OneByOne<T>(T);

    impl<T: TagSink> TagSink for OneByOne<T> {
        fn set_word(&mut self, index: usize, word: u64) {
            self.0.set_word(index, word);
        }
    }

    #[test]
    fn sinks_are_filled_as_if_word_by_word() {
        for (words, tag) in
            [0, 1, 3, 16, 17, usize::MAX].into_iter().zip([5_u64, 0x1f, 0xa0, 15, 9, 3])
        {
            // A whole page, less than a word, and no whole number of words.
            for len in [128, 7, 60, 0] {
                let (mut bytes, mut slow) = (vec![0xc3_u8; len], vec![0xc3_u8; len]);
                bytes.as_mut_slice().fill_words(words, tag);
                OneByOne(slow.as_mut_slice()).fill_words(words.min(20), tag);
                assert_eq!(bytes, slow, "{words} words of {tag}, {len} bytes");

                let (mut bytes, mut slow) = (vec![0xc3_u8; len], vec![0xc3_u8; len]);
                GranuleBytes(&mut bytes).fill_words(words, tag);
                OneByOne(GranuleBytes(&mut slow)).fill_words(words.min(20), tag);
                assert_eq!(bytes, slow, "{words} words of {tag}, {len} granules");
            }
            let (mut page, mut slow) = ([!0_u64; 16], [!0_u64; 16]);
            page.fill_words(words, tag);
            OneByOne(&mut slow).fill_words(words.min(20), tag);
            assert_eq!(page, slow, "{words} words of {tag}");
        }
    }
}
