//! The sizes of objects: classes four bytes apart, above [`FINE_MAX`] sixteen.

use crate::overlap;

/// The largest object cut out of slabs.
pub(crate) const OBJECT_MAX: usize = 256;
/// The smallest. None that is asked for is smaller.
pub(super) const OBJECT_MIN: usize = 8;
const _: () = assert!(OBJECT_MIN >= overlap::MIN);
/// Bytes between two classes, up to and above [`FINE_MAX`].
pub(super) const FINE_STEP: usize = 4;
pub(super) const COARSE_STEP: usize = 16;
pub(super) const FINE_MAX: usize = 128;
pub(super) const FINE_CLASSES: usize = (FINE_MAX - OBJECT_MIN) / FINE_STEP + 1;
pub(super) const CLASSES: usize = FINE_CLASSES + (OBJECT_MAX - FINE_MAX) / COARSE_STEP;

/// The class of objects of `len` bytes, 1 to [`OBJECT_MAX`].
pub(super) const fn class_of(len: usize) -> usize {
    if len <= FINE_MAX {
        len.saturating_sub(OBJECT_MIN).div_ceil(FINE_STEP)
    } else {
        len.saturating_sub(FINE_MAX).div_ceil(COARSE_STEP).wrapping_add(FINE_CLASSES - 1)
    }
}

/// Bytes of an object of `class`.
pub(super) const fn class_bytes(class: usize) -> usize {
    let number = class.wrapping_add(1);
    if class < FINE_CLASSES {
        class.wrapping_mul(FINE_STEP).wrapping_add(OBJECT_MIN)
    } else {
        number.wrapping_sub(FINE_CLASSES).wrapping_mul(COARSE_STEP).wrapping_add(FINE_MAX)
    }
}
