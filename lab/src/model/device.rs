//! The swap device: one block a slot, as zram has it.

use std::{cell::RefCell, sync::atomic::Ordering::Relaxed, time::Duration};

use mteswap::entry::EntryRange;
use parking_lot::Mutex;

use super::frame::Frame;
use crate::sync::point;

/// How the device behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeviceKind {
    /// Blocks are LZ4, as zram's.
    pub lz4: bool,
    /// A freed slot's data are gone at once, as zram's `swap_slot_free_notify` has it.
    pub discard: bool,
    /// How long a read takes once the data are copied.
    pub delay: Duration,
}

enum Block {
    /// Never written, or discarded: reads as zeroes.
    Empty,
    Words(Box<[u64]>),
    Lz4(Box<[u8]>),
}

pub struct Device {
    kind: DeviceKind,
    blocks: Box<[Mutex<Block>]>,
}

thread_local! {
    /// A page's bytes, and what they are compressed to.
    static SCRATCH: RefCell<(Vec<u8>, Vec<u8>)> = RefCell::default();
}

impl Device {
    pub fn new(kind: DeviceKind, slots: usize) -> Self {
        Self { kind, blocks: (0..slots).map(|_| Mutex::new(Block::Empty)).collect() }
    }

    pub fn write(&self, slot: u64, frame: &Frame) {
        let block = if self.kind.lz4 {
            SCRATCH.with_borrow_mut(|(bytes, coded)| {
                bytes.clear();
                bytes.extend(frame.data.iter().flat_map(|word| word.load(Relaxed).to_le_bytes()));
                coded.resize(lz4_flex::block::get_maximum_output_size(bytes.len()), 0);
                let len = lz4_flex::block::compress_into(bytes, coded).expect("as long as asked");
                Block::Lz4(coded[..len].into())
            })
        } else {
            Block::Words(frame.data.iter().map(|word| word.load(Relaxed)).collect())
        };
        *self.blocks[slot as usize].lock() = block;
    }

    /// Copies the data; whoever reads then has to let it [take its time](Self::take_time).
    pub fn read(&self, slot: u64, frame: &Frame) {
        match &*self.blocks[slot as usize].lock() {
            Block::Empty => frame.data.iter().for_each(|word| word.store(0, Relaxed)),
            Block::Words(words) => fill(frame, words.iter().copied()),
            Block::Lz4(coded) => SCRATCH.with_borrow_mut(|(bytes, _)| {
                bytes.resize(frame.data.len() * 8, 0);
                lz4_flex::block::decompress_into(coded, bytes).expect("written by `write`");
                let words = bytes.chunks_exact(8);
                fill(
                    frame,
                    words.map(|word| u64::from_le_bytes(word.try_into().unwrap_or([0; 8]))),
                );
            }),
        }
    }

    /// What a read takes beyond the copy: others come in before its page is mapped.
    pub fn take_time(&self) {
        point();
        if !self.kind.delay.is_zero() {
            std::thread::sleep(self.kind.delay);
        }
    }

    /// The slots were freed.
    pub fn freed(&self, range: EntryRange) {
        if self.kind.discard {
            for offset in range.first().offset()..=range.last().offset() {
                *self.blocks[offset as usize].lock() = Block::Empty;
            }
        }
    }

    /// Bytes that the blocks hold.
    pub fn bytes(&self) -> usize {
        let len = |block: &Mutex<Block>| match &*block.lock() {
            Block::Empty => 0,
            Block::Words(words) => words.len() * 8,
            Block::Lz4(coded) => coded.len(),
        };
        self.blocks.iter().map(len).sum()
    }
}

fn fill(frame: &Frame, words: impl Iterator<Item = u64>) {
    for (to, word) in frame.data.iter().zip(words) {
        to.store(word, Relaxed);
    }
}
