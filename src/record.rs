//! Records: how one page's tags are kept, in a slot word or in memory that it refers to.

mod dropping;
mod sized;
mod word;

pub(crate) use dropping::Dropping;
pub(crate) use word::{Record, is_inline};

use core::{alloc::Layout, hint::black_box, marker::PhantomData, ptr::NonNull};

use sized::{SIZE_BYTES, layout_of_sized, sized_layout};
use word::{
    INLINE, Payload, RAW, SIZED, SLAB, inline_record, is_of_slab, object_of, payload_of_host,
};

use crate::{
    codec::{self, Encoder, Few, Form, Glance, InlineCode, Short},
    error::Result,
    host::{AllocFlags, Host, Warning},
    index::Word,
    overlap,
    pool::Reserve,
    prefetch::{LINE, prefetch},
    slab::{OBJECT_MAX, Slabs, head_of},
    tags::{PageSize, TAG_MASK, TagSink, TagSource},
    wipe::wipe,
};

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
        assert!(layout.size() == P::TAG_BYTES && layout.align() == align_of::<u64>(), "words");
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
        let record = match Few::glance::<P>(source) {
            Glance::Raw => self.create_raw(host, source, flags),
            Glance::Long => None,
            Glance::Unknown => self.create_short(host, source, flags),
        };
        // What found no memory may be shorter in another form.
        record.or_else(|| self.create_coded(host, source, flags))
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
        match Few::look::<P>(source, &mut few)? {
            Short::Inline(code) => Some(inline_record(code)),
            Short::List(few) => {
                let payload = self.slabs.alloc(host, few.list_len(), flags)?;
                // SAFETY: a fresh payload that is ours alone.
                let size = unsafe { Slabs::<H>::size(payload) };
                // SAFETY: its bytes, a word at least.
                unsafe { overlap::copy(few.list(), payload, size) };
                Some(Record::of_payload(payload, SLAB))
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
                let record = Record::of_payload(payload.cast(), kind);
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
            let object = self.slabs.alloc(host, len, flags)?;
            // SAFETY: a fresh one.
            (object, unsafe { Slabs::<H>::size(object) })
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
        let payload = host.alloc(Self::RAW_LAYOUT, flags).or_else(|| self.reserve.pop(host))?;
        // Word by word: zeroes that the compiler sees no need for would be written first otherwise.
        let words = payload.cast::<u64>();
        for index in 0..P::WORDS {
            // SAFETY: one of the words that the layout is of.
            let place = unsafe { words.add(index) };
            // SAFETY: memory of the host, ours alone, and aligned by the layout.
            unsafe { place.write(source.word(index).to_le()) };
        }
        Some(Record::of_payload(payload, RAW))
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

    /// Writes the tags of a record's payload to `sink`; false for none, and, the host warned, for one that is not as it was
    /// written.
    ///
    /// # Safety
    /// `word` is null or that of a record of these, not an inline one, whose payload is not freed meanwhile: the lock of the
    /// leaf it lies in is held.
    #[inline(always)]
    pub(crate) unsafe fn read(
        &self,
        host: &H,
        word: Word,
        sink: &mut (impl TagSink + ?Sized),
    ) -> bool {
        // SAFETY (of all three): live payloads are as large as their kind says, were written
        // before the word was, and are never written again while the word stands.
        if is_of_slab(word) {
            // SAFETY: null has no such bit.
            let object = unsafe { object_of(word) };
            // SAFETY: see above.
            let size = unsafe { Slabs::<H>::size(object) };
            // SAFETY: see above.
            return Self::decode(sink, unsafe { bytes(object, size) }, host);
        }
        match payload_of_host(word) {
            None => false,
            Some(Payload::Raw(payload)) => {
                // SAFETY: see above.
                let bytes = unsafe { bytes(payload, Self::RAW_LAYOUT.size()) };
                (0..P::WORDS).for_each(|i| sink.set_word(i, bytes.word(i)));
                true
            }
            Some(Payload::Sized(payload)) => {
                // SAFETY: see above.
                let layout = unsafe { layout_of_sized(payload) };
                // SAFETY: see above.
                let bytes = unsafe { bytes(payload, layout.size()) };
                Self::decode(sink, bytes.get(SIZE_BYTES..).unwrap_or_default(), host)
            }
        }
    }

    // Not inlined: what is raw needs none of its stack. The sink comes first, and stays in the register that it comes in.
    #[inline(never)]
    fn decode(sink: &mut (impl TagSink + ?Sized), bytes: &[u8], host: &H) -> bool {
        match codec::decode_bytes::<P>(bytes, sink, true) {
            Ok(_) => true,
            Err(_) => Self::corrupt(host),
        }
    }

    /// What was encoded decodes: someone wrote to memory that is not theirs.
    #[cold]
    #[inline(never)]
    fn corrupt(host: &H) -> bool {
        host.warn(Warning::CorruptRecord);
        // For all that the compiler knows it may be true: the caller need not keep what it would tell this from.
        black_box(false)
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
