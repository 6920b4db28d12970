//! Page flags.

use core::{
    ffi::{c_int, c_uchar, c_uint, c_ulong, c_void},
    mem::forget,
    sync::atomic::AtomicUsize,
};

use mteswap::{
    error::{Error, Result},
    page::{FlagWord, Page as TaggedPage, PageFlags},
    tagmem::{NativePage, native_page},
};

use crate::{Page, args::non_null};

/// The bit that says "tagged", for callers with a flags word of their own.
pub const MTESWAP_PG_TAGGED: u32 = 0;
/// The bit that says "someone writes its tags", for callers with a flags word of their own.
pub const MTESWAP_PG_LOCK: u32 = 1;

const _: () = {
    assert!(1 << MTESWAP_PG_TAGGED == PageFlags::TAGGED.bits());
    assert!(1 << MTESWAP_PG_LOCK == PageFlags::LOCK.bits());
};

/// struct mteswap_page - one page of a folio
///
/// @tagged_bit and @lock_bit differ and are below the bits of an unsigned long.
#[repr(C)]
pub struct mteswap_page {
    /// @flags: its flags word
    pub flags: *mut c_ulong,
    /// @addr: the page. Where the library was built without MTE instructions (for user
    /// space, unless asked for), the page's tags instead: MTESWAP_TAGS_BYTES bytes, aligned
    /// to 8
    pub addr: *mut c_void,
    /// @tagged_bit: number of the bit that says "tagged": MTESWAP_PG_TAGGED, PG_arch_2
    pub tagged_bit: c_uchar,
    /// @lock_bit: number of the bit that says "someone writes its tags": MTESWAP_PG_LOCK,
    /// PG_arch_3
    pub lock_bit: c_uchar,
}

impl mteswap_page {
    /// The page as the core knows it; [`Error::Invalid`] where it is none.
    ///
    /// # Safety
    /// `flags` and `addr` are NULL, or what the header says they are, during `'a`.
    pub(crate) unsafe fn get<'a>(&self) -> Result<TaggedPage<'a, NativePage<'a>>> {
        // SAFETY: the caller's promise.
        let word = unsafe { word(self.flags) }?;
        let flags = FlagWord::with_bits(word, self.tagged_bit.into(), self.lock_bit.into())?;
        // SAFETY: the caller's promise: a page whose tags the library may read and write, or
        // their array where that is what `addr` is in this build.
        let memory = unsafe { native_page::<Page>(self.addr.cast()) }?;
        Ok(TaggedPage::new(flags, memory))
    }
}

/// The flags word at `flags`; [`Error::Invalid`] for NULL and where none can be.
///
/// # Safety
/// `flags` is NULL, or to an unsigned long that everyone accesses atomically during `'a`.
unsafe fn word<'a>(flags: *const c_ulong) -> Result<&'a AtomicUsize> {
    const { assert!(size_of::<c_ulong>() == size_of::<usize>()) };
    let word = non_null(flags.cast_mut().cast::<usize>())?;
    if !word.is_aligned() {
        return Err(Error::Invalid);
    }
    // SAFETY: aligned; live and atomic by the caller's promise. Where C said const, it is only
    // loaded from.
    Ok(unsafe { AtomicUsize::from_ptr(word.as_ptr()) })
}

/// The flags word with the bits of those who have one of their own.
///
/// # Safety
/// As [`word`].
unsafe fn own<'a>(flags: *const c_ulong) -> Result<FlagWord<'a>> {
    // SAFETY: the caller's promise.
    unsafe { word(flags) }.map(FlagWord::new)
}

/// The flags word of those who ask for or set the bit `tagged` alone.
///
/// # Safety
/// As [`word`].
unsafe fn tagged_alone<'a>(flags: *const c_ulong, tagged: c_uint) -> Result<FlagWord<'a>> {
    // Any other bit does for the lock, which is not looked at.
    let lock = c_uint::from(tagged == 0);
    // SAFETY: the caller's promise.
    FlagWord::with_bits(unsafe { word(flags) }?, tagged, lock)
}

/// Asks for the duty; true for the caller that has it, and keeps it until it says otherwise.
fn try_tagging(flags: FlagWord<'_>) -> bool {
    flags.try_tagging().map(forget).is_some()
}

/// mteswap_page_tagged() - has the page tags to speak of?
/// @flags: its flags word, with MTESWAP_PG_TAGGED and MTESWAP_PG_LOCK
///
/// Where true, tag reads that follow come after it (FLAG-2).
///
/// Context: Any.
/// Return: Whether the page is tagged; false for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_page_tagged(flags: *const c_ulong) -> bool {
    // SAFETY: the caller's flags word.
    unsafe { own(flags) }.is_ok_and(FlagWord::is_tagged)
}

/// mteswap_set_page_tagged() - say that the page's tags are written
/// @flags: its flags word
///
/// Whoever sees the flag sees the tags that were written before (FLAG-1). It stays until
/// the page is freed (FLAG-4).
///
/// Context: Any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_set_page_tagged(flags: *mut c_ulong) {
    // SAFETY: the caller's flags word.
    if let Ok(flags) = unsafe { own(flags) } {
        flags.set_tagged();
    }
}

/// mteswap_try_page_tagging() - ask for the duty to write a page's tags
/// @flags: its flags word
///
/// One caller gets true; it writes the tags and calls mteswap_set_page_tagged(), or
/// mteswap_abandon_tagging(). Every other one spins until the flag is set, or the duty is
/// handed on, and gets false, or the duty (FLAG-3).
///
/// Context: Any. Not while the same CPU has the duty for the same page.
/// Return: True for the caller that has the duty; false for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_try_page_tagging(flags: *mut c_ulong) -> bool {
    // SAFETY: the caller's flags word.
    unsafe { own(flags) }.is_ok_and(try_tagging)
}

/// mteswap_try_page_tagging_bounded() - mteswap_try_page_tagging() that gives up
/// @flags: the page's flags word
/// @spins: how often to look again
///
/// Context: Any.
/// Return: 1 the caller has the duty, 0 the page is tagged, -ETIMEDOUT someone still has
/// the duty, -EINVAL for NULL (FLAG-5).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_try_page_tagging_bounded(
    flags: *mut c_ulong,
    spins: c_ulong,
) -> c_int {
    // SAFETY: the caller's flags word.
    let word = unsafe { own(flags) };
    // Checked above: an unsigned long is a usize.
    let duty = word.and_then(|word| word.try_tagging_bounded(spins as usize));
    duty.map_or_else(Error::to_errno, |duty| duty.map(forget).is_some().into())
}

/// mteswap_abandon_tagging() - hand the duty to write a page's tags on
/// @flags: its flags word
///
/// For a caller that has the duty and cannot finish: one of those who wait gets it, or the
/// next who asks (FLAG-5). A page that is tagged stays so.
///
/// Context: Any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_abandon_tagging(flags: *mut c_ulong) {
    // SAFETY: the caller's flags word.
    if let Ok(flags) = unsafe { own(flags) } {
        flags.abandon_tagging();
    }
}

/// mteswap_page_tagged_bit() - mteswap_page_tagged() with a bit of the caller's
/// @flags: the page's flags word
/// @tagged: number of the bit
///
/// Context: Any.
/// Return: Whether the page is tagged; false for NULL and where the word has no such bit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_page_tagged_bit(flags: *const c_ulong, tagged: c_uint) -> bool {
    // SAFETY: the caller's flags word.
    unsafe { tagged_alone(flags, tagged) }.is_ok_and(FlagWord::is_tagged)
}

/// mteswap_set_page_tagged_bit() - mteswap_set_page_tagged() with a bit of the caller's
/// @flags: the page's flags word
/// @tagged: number of the bit; nothing happens where the word has no such bit
///
/// Context: Any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_set_page_tagged_bit(flags: *mut c_ulong, tagged: c_uint) {
    // SAFETY: the caller's flags word.
    if let Ok(flags) = unsafe { tagged_alone(flags, tagged) } {
        flags.set_tagged();
    }
}

/// mteswap_try_page_tagging_bits() - mteswap_try_page_tagging() with bits of the caller's
/// @flags: the page's flags word
/// @tagged: number of the bit that says "tagged": PG_arch_2 in a kernel
/// @lock: number of the bit that says "someone writes its tags": PG_arch_3
///
/// Context: As mteswap_try_page_tagging().
/// Return: True for the caller that has the duty; false for NULL, for one bit twice and
/// where the word has no such bit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mteswap_try_page_tagging_bits(
    flags: *mut c_ulong,
    tagged: c_uint,
    lock: c_uint,
) -> bool {
    // SAFETY: the caller's flags word.
    let word = unsafe { word(flags) };
    word.and_then(|word| FlagWord::with_bits(word, tagged, lock)).is_ok_and(try_tagging)
}
