//! Tags one byte a granule, as `KVM_ARM_MTE_COPY_TAGS` reads and writes them.
//!
//! The ioctl (Linux, `Documentation/virt/kvm/api.rst` 4.130; `arch/arm64/kvm/guest.c`,
//! `kvm_vm_ioctl_mte_copy_tags`) copies between a guest's memory and a buffer with a byte for
//! each 16 bytes of it, the tag in the lowest four bits. [`GranuleBytes`] over one page's part
//! of such a buffer is a source and a sink of tags: what reads or writes a page's tags here
//! reads or writes it.

#![forbid(unsafe_code)]

use crate::tags::{GRANULES_PER_WORD, TAG_MASK, TagSink, TagSource};

/// One page's tags, a byte a granule. `T` is what holds the bytes: `&[u8]`, `&mut [u8]`,
/// an array.
///
/// Read, the upper four bits of a byte are ignored, as KVM ignores them; written, they are 0.
/// Bytes that do not fill a word of sixteen granules are left alone and read as 0; a page's do.
///
/// # Examples
/// ```
/// use mteswap::{codec, kvm::GranuleBytes, tags::Page4K};
///
/// let from_kvm = [7u8; 256]; // 4 KiB of the guest's memory: 256 granules
/// let mut wire = [0; codec::encoded_max::<Page4K>()];
/// let len = codec::encode::<Page4K>(&GranuleBytes(&from_kvm), &mut wire).unwrap();
///
/// let mut to_kvm = [0u8; 256];
/// codec::decode::<Page4K>(&wire[..len], &mut GranuleBytes(&mut to_kvm))?;
/// assert_eq!(to_kvm, from_kvm);
/// # Ok::<(), mteswap::error::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GranuleBytes<T>(pub T);

impl<T: AsRef<[u8]>> TagSource for GranuleBytes<T> {
    fn word(&self, index: usize) -> u64 {
        place(index)
            .and_then(|at| self.0.as_ref().get(at..)?.first_chunk())
            .map_or(0, |bytes| join(*bytes))
    }
}

impl<T: AsMut<[u8]>> TagSink for GranuleBytes<T> {
    fn set_word(&mut self, index: usize, word: u64) {
        if let Some(bytes) =
            place(index).and_then(|at| self.0.as_mut().get_mut(at..)?.first_chunk_mut())
        {
            *bytes = split(word);
        }
    }

    fn fill_words(&mut self, words: usize, tag: u64) {
        let bytes = self.0.as_mut();
        // Of a word that is not there as a whole nothing is written.
        let len =
            words.saturating_mul(GRANULES_PER_WORD).min(bytes.len() & !(GRANULES_PER_WORD - 1));
        bytes.get_mut(..len).unwrap_or_default().fill((tag & TAG_MASK) as u8);
    }
}

/// Where the bytes of word `index` begin.
fn place(index: usize) -> Option<usize> {
    index.checked_mul(GRANULES_PER_WORD)
}

/// The low nibbles of sixteen bytes, by halves: pairs, fours, eights.
fn join(bytes: [u8; GRANULES_PER_WORD]) -> u64 {
    let wide = u128::from_le_bytes(bytes) & 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f;
    let eight = |half: u64| {
        let pairs = (half | half >> 4) & 0x00ff_00ff_00ff_00ff;
        let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
        (fours | fours >> 16) & 0xffff_ffff
    };
    eight(wide as u64) | eight((wide >> 64) as u64) << 32
}

/// What [`join`] joined.
fn split(word: u64) -> [u8; GRANULES_PER_WORD] {
    let eight = |half: u64| {
        let fours = (half | half << 16) & 0x0000_ffff_0000_ffff;
        let pairs = (fours | fours << 8) & 0x00ff_00ff_00ff_00ff;
        (pairs | pairs << 4) & 0x0f0f_0f0f_0f0f_0f0f
    };
    (u128::from(eight(word & 0xffff_ffff)) | u128::from(eight(word >> 32)) << 64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixteen granules' tags by the definition: a nibble each, the first the lowest.
    fn slow(bytes: &[u8]) -> u64 {
        bytes.iter().rev().fold(0, |word, byte| word << 4 | u64::from(byte & 15))
    }

    #[test]
    fn kvm_every_nibble_has_its_place() {
        for granule in 0..16 {
            for byte in 0..=255u8 {
                let mut bytes = [0x30u8; 16];
                bytes[granule] = byte;
                assert_eq!(join(bytes), slow(&bytes));
                assert_eq!(split(join(bytes)), bytes.map(|byte| byte & 15));
            }
        }
    }

    #[test]
    fn kvm_a_page_goes_there_and_back() {
        let bytes: [u8; 1024] = core::array::from_fn(|i| (i * 7 % 13) as u8);
        let source = GranuleBytes(&bytes);
        let mut back = [0xff; 1024];
        let mut sink = GranuleBytes(back.as_mut_slice());
        for index in 0..64 {
            assert_eq!(source.word(index), slow(&bytes[16 * index..][..16]));
            sink.set_word(index, source.word(index));
        }
        assert_eq!(back, bytes);
    }

    #[test]
    fn kvm_past_the_end_nothing_is_read_or_written() {
        let mut bytes = [5u8; 40];
        assert_eq!(GranuleBytes(&bytes).word(1), 0x5555_5555_5555_5555);
        for index in [2, 3, usize::MAX / 16, usize::MAX] {
            assert_eq!(GranuleBytes(&bytes).word(index), 0);
            GranuleBytes(&mut bytes).set_word(index, 0x7777);
        }
        assert_eq!(bytes, [5; 40]);
    }
}
