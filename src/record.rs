//! Records: how one page's tags lie in a slot word.
//!
//! This is the one place that knows the word's bits:
//!
//! | low bits | the word is | payload |
//! |---|---|---|
//! | all 0 | nothing: no record | |
//! | `01` | the encoded tags themselves, 62 bits ([`InlineCode`]) | none |
//! | `10` | a pointer to an object of the slabs | encoded, its size in the slab's head |
//! | `000` | a pointer to memory of the host | raw, [`PageSize::TAG_BYTES`] |
//! | `100` | a pointer to memory of the host | its own size in two bytes, then encoded |
//!
//! Objects of the slabs are aligned to 4, and what comes from the host to 8, so a pointer keeps
//! all its bits but the zeroes at the bottom (KASAN tags, 52-bit addresses), and still points into
//! the object (kmemleak). One bit tells what has no payload, one which memory it lies in.

mod dropping;

pub(crate) use dropping::Dropping;

use core::{alloc::Layout, marker::PhantomData, num::NonZero, ptr::NonNull};

use crate::{
    codec::{self, Encoder, Few, Form, InlineCode, Short},
    error::Result,
    host::{AllocFlags, Host},
    index::Word,
    pool::Reserve,
    prefetch::{LINE, prefetch},
    slab::{OBJECT_MAX, Slabs, head_of, wipe},
    tags::{PageSize, TAG_MASK, TagSink, TagSource},
};

const _: () = assert!(usize::BITS == 64, "a slot word is a pointer of 64 bits");

/// What memory of the host holds.
enum Payload {
    Raw(NonNull<u8>),
    Sized(NonNull<u8>),
}

const INLINE: usize = 1;
const SLAB: usize = 2;
const RAW: usize = 0;
const SIZED: usize = 4;

/// Of a word that is neither inline nor of the slabs.
fn payload_of_host(word: Word) -> Option<Payload> {
    if word.addr() & SIZED == RAW {
        NonNull::new(word).map(Payload::Raw)
    } else {
        NonNull::new(word.wrapping_byte_sub(SIZED)).map(Payload::Sized)
    }
}

/// Of a word that is not inline: true if its payload is an object of the slabs.
fn is_of_slab(word: Word) -> bool {
    word.addr() & SLAB != 0
}

/// That object.
///
/// # Safety
/// The word is a record's.
unsafe fn object_of(word: Word) -> NonNull<u8> {
    // SAFETY: the record was made of a pointer that is not null, with this bit, which its alignment leaves clear.
    unsafe { NonNull::new_unchecked(word.wrapping_byte_sub(SLAB)) }
}

fn inline_record(code: InlineCode) -> Record {
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

/// Bytes of the size that begins a payload of the host's memory.
const SIZE_BYTES: usize = 2;
/// Steps of such payloads.
const SIZED_STEP: usize = 32;

/// The memory of records.
pub(crate) struct Records<H: Host, P: PageSize> {
    slabs: Slabs<H>,
    /// Raw payloads kept back for when the host has no memory.
    reserve: Reserve<H>,
    page: PhantomData<P>,
}

impl<H: Host, P: PageSize> Records<H, P> {
    const RAW_LAYOUT: Layout = {
        let layout = Layout::new::<P::Words>();
        assert!(layout.align() > SIZED, "room for the kind");
        layout
    };

    pub(crate) const fn new() -> Self {
        Self { slabs: Slabs::new(), reserve: Reserve::new(), page: PhantomData }
    }

    /// Bytes held from the host for slabs.
    pub(crate) fn slab_bytes(&self) -> usize {
        self.slabs.bytes()
    }

    /// Bytes held from the host for the payload of a record alone: 0 for one in a slab, or without.
    ///
    /// Not summed up as payloads come and go: all who save and invalidate would meet in the sum.
    ///
    /// # Safety
    /// `word` is null or that of a record of these, inline or not, and the lock of the leaf it lies in is held.
    pub(crate) unsafe fn own_bytes(word: Word) -> usize {
        if is_inline(word) || is_of_slab(word) {
            return 0;
        }
        match payload_of_host(word) {
            None => 0,
            Some(Payload::Raw(_)) => Self::RAW_LAYOUT.size(),
            // SAFETY: the caller's promise: it is live.
            Some(Payload::Sized(payload)) => unsafe { layout_of_sized(payload) }.size(),
        }
    }

    /// Bytes held in reserve.
    pub(crate) fn reserved_bytes(&self, host: &H) -> usize {
        self.reserve.len(host).saturating_mul(Self::RAW_LAYOUT.size())
    }

    /// A record of the tags of `source` if they are one tag, as most are: it needs no encoder.
    #[inline(always)]
    pub(crate) fn of_one_tag(source: &(impl TagSource + ?Sized)) -> Option<Record> {
        codec::one_tag::<P>(source).map(|tag| inline_record(InlineCode::from_bits(tag)))
    }

    /// A record of the tags of `source`, which are more than one mostly. `None` where it needs a payload and
    /// neither the host nor the reserve has one.
    #[inline]
    pub(crate) fn create(
        &self,
        host: &H,
        source: &(impl TagSource + ?Sized),
        flags: AllocFlags,
    ) -> Option<Record> {
        self.create_short(host, source, flags).or_else(|| self.create_coded(host, source, flags))
    }

    /// A record of a page whose form a short look tells. `None` for others, and without memory.
    #[inline(never)]
    fn create_short(
        &self,
        host: &H,
        source: &(impl TagSource + ?Sized),
        flags: AllocFlags,
    ) -> Option<Record> {
        let mut few = Few::new();
        match Few::choose::<P>(source, &mut few)? {
            Short::Inline(code) => Some(inline_record(code)),
            Short::List(few) => {
                let (payload, size) = self.slabs.alloc(host, few.list_len(), flags)?;
                // SAFETY: a fresh payload that is ours alone, all of it initialised.
                few.write_list(unsafe { bytes_mut(payload, size) });
                Some(Record(payload.map_addr(|a| a | SLAB)))
            }
            Short::Raw => self.create_raw(host, source, flags),
        }
    }

    /// A record of any page, by the encoder.
    // Not inlined: the encoder's stack is given back before the index is walked.
    #[inline(never)]
    fn create_coded(
        &self,
        host: &H,
        source: &(impl TagSource + ?Sized),
        flags: AllocFlags,
    ) -> Option<Record> {
        let mut encoder = Encoder::<P>::new();
        match encoder.read(source) {
            Form::Bytes(len) => {
                let Some(payload) = self.alloc_encoded(host, len, flags) else {
                    return self.create_raw(host, source, flags);
                };
                let (kind, head) = if len <= OBJECT_MAX { (SLAB, 0) } else { (SIZED, SIZE_BYTES) };
                // SAFETY: a fresh payload that is ours alone, all of it initialised.
                let bytes = unsafe { bytes_mut(payload.cast(), payload.len()) };
                let whole = encoder.write(source, bytes.get_mut(head..).unwrap_or_default());
                let record = Record(payload.cast::<u8>().map_addr(|a| a | kind));
                if whole.is_none() {
                    // The tags changed since they were looked at.
                    self.free(host, record);
                    return self.create_raw(host, source, flags);
                }
                Some(record)
            }
            Form::Raw => self.create_raw(host, source, flags),
        }
    }

    /// A payload for `len` bytes, sized where it does not come from the slabs. `None` where
    /// there is no memory, or where raw tags are no larger.
    // Not inlined: the caller has an encoder on its stack. For the same reason one pointer and
    // no more comes back, which takes registers.
    #[inline(never)]
    fn alloc_encoded(&self, host: &H, len: usize, flags: AllocFlags) -> Option<NonNull<[u8]>> {
        let (payload, size) = if len <= OBJECT_MAX {
            self.slabs.alloc(host, len, flags)?
        } else {
            Self::alloc_sized(host, len, flags)?
        };
        Some(NonNull::slice_from_raw_parts(payload, size))
    }

    /// A payload that tells its own size, for `len` bytes behind that, and its bytes. `None` where there is no memory, or where raw tags are no larger.
    #[inline(never)]
    fn alloc_sized(host: &H, len: usize, flags: AllocFlags) -> Option<(NonNull<u8>, usize)> {
        let layout = sized_layout(len.checked_add(SIZE_BYTES)?)?;
        let size = layout.size();
        if size >= Self::RAW_LAYOUT.size() {
            return None;
        }
        let payload = host.alloc(layout, flags)?;
        // SAFETY: the host gave us this many bytes.
        unsafe { payload.write_bytes(0, size) };
        // SAFETY: as above, more than two, and aligned to `SIZED_STEP`.
        unsafe { payload.cast::<u16>().write((size as u16).to_le()) };
        Some((payload, size))
    }

    #[inline(never)]
    fn create_raw(
        &self,
        host: &H,
        source: &(impl TagSource + ?Sized),
        flags: AllocFlags,
    ) -> Option<Record> {
        let layout = Self::RAW_LAYOUT;
        let payload = host.alloc(layout, flags).or_else(|| self.reserve.pop(host))?;
        // SAFETY: memory of the host of this size, ours alone; `write_bytes` and all that
        // follows initialise it.
        unsafe { payload.write_bytes(0, layout.size()) };
        // SAFETY: as above.
        let bytes = unsafe { bytes_mut(payload, layout.size()) };
        (0..P::WORDS).for_each(|i| bytes.set_word(i, source.word(i)));
        Some(Record(payload.map_addr(|a| a | RAW)))
    }

    /// Writes the tags of a record to `sink` if they are one tag, as most are.
    #[inline]
    pub(crate) fn read_one_tag(word: Word, sink: &mut (impl TagSink + ?Sized)) -> bool {
        // The code of a page of one tag is that tag, in the bits above the kind's. By subtraction,
        // which leaves one test.
        let code = word.addr().wrapping_sub(INLINE);
        let is_one_tag = code & !((TAG_MASK as usize) << 2) == 0;
        if is_one_tag {
            sink.fill_words(P::WORDS, code as u64 >> 2);
        }
        is_one_tag
    }

    /// Writes the tags of a record that has them in its word to `sink`; false for another.
    // Apart from `read`: each has what it paints on on the stack.
    #[inline(never)]
    pub(crate) fn read_inline(word: Word, sink: &mut (impl TagSink + ?Sized)) -> bool {
        if is_inline(word) {
            codec::decode_inline::<P>(InlineCode::from_bits(word.addr() as u64 >> 2), sink);
        }
        is_inline(word)
    }

    /// Writes the tags of a record's payload to `sink`; false for one without, or where there is none of ours.
    ///
    /// # Safety
    /// `word` is null or that of a record of these, not an inline one, whose payload is not freed meanwhile: the lock of the
    /// leaf it lies in is held.
    pub(crate) unsafe fn read(&self, word: Word, sink: &mut (impl TagSink + ?Sized)) -> bool {
        // SAFETY (of all three): live payloads are as large as their kind says, were written
        // before the word was, and are never written again while the word stands.
        let bytes = if is_of_slab(word) {
            // SAFETY: null has no such bit.
            let object = unsafe { object_of(word) };
            // SAFETY: see above.
            let size = unsafe { Slabs::<H>::size(object) };
            // SAFETY: see above.
            unsafe { bytes(object, size) }
        } else {
            match payload_of_host(word) {
                None => return false,
                Some(Payload::Raw(payload)) => {
                    // SAFETY: see above.
                    let bytes = unsafe { bytes(payload, Self::RAW_LAYOUT.size()) };
                    (0..P::WORDS).for_each(|i| sink.set_word(i, bytes.word(i)));
                    return true;
                }
                Some(Payload::Sized(payload)) => {
                    // SAFETY: see above.
                    let layout = unsafe { layout_of_sized(payload) };
                    // SAFETY: see above.
                    let bytes = unsafe { bytes(payload, layout.size()) };
                    bytes.get(SIZE_BYTES..).unwrap_or_default()
                }
            }
        };
        codec::decode_bytes::<P>(bytes, sink, true).is_ok()
    }

    /// Asks for the lines of cache that restoring or freeing a record begins with. It may be gone: nothing is read.
    #[inline(always)]
    pub(crate) fn prefetch(word: Word) {
        // A hint to where nothing can be walks the page tables each time.
        if is_inline(word) || word.is_null() {
            return;
        }
        prefetch(word);
        // The head of the slab, or what follows, of which raw tags of a page of 4 KiB have one line.
        prefetch(if is_of_slab(word) { head_of(word) } else { word.wrapping_byte_add(LINE) });
    }

    /// Wipes a record and lets go of its payload. Called with no lock held.
    #[inline]
    pub(crate) fn free(&self, host: &H, record: Record) {
        let word = record.into_word();
        if is_inline(word) {
            return;
        }
        if !is_of_slab(word) {
            // SAFETY: the record's word, which is consumed here.
            return unsafe { Self::free_of_host(host, word) };
        }
        // SAFETY: the record's word.
        let object = unsafe { object_of(word) };
        // SAFETY: a record owns its payload, and it is consumed here.
        unsafe { self.slabs.free(host, object) };
    }

    /// Lets go of a payload that came from the host; of nothing where there is none.
    ///
    /// # Safety
    /// A record owned the word, which is neither inline nor of the slabs, and no one else has it.
    // Not inlined: this way nothing has to be kept on the stack.
    #[inline(never)]
    unsafe fn free_of_host(host: &H, word: Word) {
        // SAFETY: the caller's promise.
        unsafe { Self::free_of_host_here(host, word) };
    }

    /// The same, in the caller's own frame, which the rarer kind adds nothing to.
    ///
    /// # Safety
    /// As [`free_of_host`](Self::free_of_host).
    #[inline(always)]
    unsafe fn free_of_host_here(host: &H, word: Word) {
        match payload_of_host(word) {
            None => {}
            // SAFETY: a raw payload, which the record owned.
            Some(Payload::Raw(payload)) => unsafe {
                Self::free_direct(host, payload, Self::RAW_LAYOUT);
            },
            // SAFETY: a payload of this kind, which the record owned.
            Some(Payload::Sized(payload)) => unsafe { Self::free_sized(host, payload) },
        }
    }

    /// # Safety
    /// `payload` is one that begins with its size, and nobody else has it.
    #[cold]
    #[inline(never)]
    unsafe fn free_sized(host: &H, payload: NonNull<u8>) {
        // SAFETY: live until it is freed here.
        let layout = unsafe { layout_of_sized(payload) };
        // SAFETY: the caller's promise.
        unsafe { Self::free_direct(host, payload, layout) };
    }

    /// # Safety
    /// `payload` came from this host with this layout, and nobody else has it.
    #[inline(always)]
    unsafe fn free_direct(host: &H, payload: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's payload, this large.
        unsafe { wipe(payload, layout.size()) };
        // SAFETY: the caller's promise.
        unsafe { host.free(payload, layout) };
    }

    /// For records that are let go of together.
    pub(crate) fn dropping(&self, host: &H) -> Dropping<'_, H, P> {
        Dropping::new(self, host)
    }

    /// Sees to it that as many raw payloads as are wanted, or more, are kept for when the host has no
    /// memory. On an error the reserve is as before. May sleep.
    pub(crate) fn raise_reserve(&self, host: &H, wanted: usize) -> Result<()> {
        let make = || host.alloc(Self::RAW_LAYOUT, AllocFlags::MAY_SLEEP);
        // SAFETY: from `make`; never anyone else's.
        let unmake = |block| unsafe { host.free(block, Self::RAW_LAYOUT) };
        // SAFETY: the host's memory is the caller's; its layout is that of words.
        unsafe { self.reserve.raise(host, wanted, make, unmake) }
    }

    /// Gives back those of the reserve that are more than are wanted.
    pub(crate) fn lower_reserve(&self, host: &H, wanted: usize) {
        // SAFETY: in the reserve are payloads of the host, which `raise_reserve` put there.
        self.reserve.lower(host, wanted, |block| unsafe { host.free(block, Self::RAW_LAYOUT) });
    }
}

/// The layout of a payload that tells its own size, of `len` bytes at least.
fn sized_layout(len: usize) -> Option<Layout> {
    let size = len.checked_next_multiple_of(SIZED_STEP)?;
    Layout::from_size_align(size, SIZED_STEP).ok()
}

/// # Safety
/// `payload` is a live payload that begins with its size.
unsafe fn layout_of_sized(payload: NonNull<u8>) -> Layout {
    // SAFETY: the caller's promise; payloads are aligned to `SIZED_STEP`.
    let size = u16::from_le_bytes(unsafe { payload.cast().read() });
    // What `sized_layout` made once it makes again: sizes are its multiples.
    sized_layout(size.into()).unwrap_or(Layout::new::<u16>())
}

/// # Safety
/// `len` bytes at `payload` are initialised and nobody writes to them for as long.
unsafe fn bytes<'a>(payload: NonNull<u8>, len: usize) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { NonNull::slice_from_raw_parts(payload, len).as_ref() }
}

/// # Safety
/// `len` bytes at `payload` are initialised and nobody else uses them for as long.
unsafe fn bytes_mut<'a>(payload: NonNull<u8>, len: usize) -> &'a mut [u8] {
    // SAFETY: the caller's promise.
    unsafe { NonNull::slice_from_raw_parts(payload, len).as_mut() }
}
