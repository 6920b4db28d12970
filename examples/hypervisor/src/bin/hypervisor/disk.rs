//! The swap device: virtio-blk, one page a slot.

extern crate alloc;

use alloc::alloc::{alloc_zeroed, dealloc, handle_alloc_error};
use core::{alloc::Layout, ptr::NonNull};

use hypercall::PAGE;
use virtio_drivers::{
    BufferDirection, Hal, PhysAddr, Result,
    device::blk::{SECTOR_SIZE, VirtIOBlk},
    transport::{
        DeviceType, Transport,
        mmio::{MmioTransport, VirtIOHeader},
    },
};

/// Sectors of a page.
const SECTORS: usize = PAGE / SECTOR_SIZE;
/// Bytes between two virtio devices of the board.
const WINDOW: usize = 0x200;

/// Memory for virtio: from the heap, mapped where it lies; the board's devices are coherent.
struct Memory;

impl Memory {
    fn layout(pages: usize) -> Layout {
        Layout::from_size_align(pages * PAGE, PAGE).expect("a few pages")
    }
}

// SAFETY: zeroed memory of the heap, aligned to a page, nobody else's until it is given back;
// addresses are the same for the device.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let layout = Self::layout(pages);
        // SAFETY: the driver asks for one page at least.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) });
        let memory = memory.unwrap_or_else(|| handle_alloc_error(layout));
        (memory.as_ptr().expose_provenance() as PhysAddr, memory)
    }

    unsafe fn dma_dealloc(_: PhysAddr, memory: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: the caller's promise: from `dma_alloc`, of as many pages.
        unsafe { dealloc(memory.as_ptr(), Self::layout(pages)) };
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(core::ptr::with_exposed_provenance_mut(address as usize)).expect("MMIO at 0")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr().expose_provenance() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// The device. One request at a time.
pub struct Disk {
    device: spin::Mutex<VirtIOBlk<Memory, MmioTransport<'static>>>,
    slots: usize,
}

impl Disk {
    /// The first block device among those at `places`.
    ///
    /// # Safety
    /// They are the board's virtio windows, mapped as device memory, and nobody else's.
    pub unsafe fn find(places: impl Iterator<Item = *mut VirtIOHeader>) -> Option<Self> {
        let device = places.filter_map(NonNull::new).find_map(|header| {
            // SAFETY: the caller's promise.
            let transport = unsafe { MmioTransport::new(header, WINDOW) }.ok()?;
            (transport.device_type() == DeviceType::Block).then_some(transport)
        })?;
        let device = VirtIOBlk::new(device).ok()?;
        let slots = device.capacity() as usize / SECTORS;
        Some(Self { device: spin::Mutex::new(device), slots })
    }

    /// Pages it has room for.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Reads the page in `slot`.
    pub fn read(&self, slot: u64, page: &mut [u8]) -> Result<()> {
        self.device.lock().read_blocks(slot as usize * SECTORS, page)
    }

    /// Writes a page to `slot`.
    pub fn write(&self, slot: u64, page: &[u8]) -> Result<()> {
        self.device.lock().write_blocks(slot as usize * SECTORS, page)
    }
}
