//! The hypervisor's spinlock. Interrupts of this CPU are off while it is held, so that a handler
//! never spins for a lock that its own CPU holds.

use core::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use aarch64_cpu::registers::{DAIF, Readable, Writeable};
use lock_api::{GuardNoSend, RawMutex};

/// A value behind the lock.
pub type Mutex<T> = lock_api::Mutex<IrqLock, T>;

/// What interrupts were masked before [`interrupts_off`].
pub type Masked = u64;

/// The control: nothing is masked, and a handler comes to spin for a lock of its own CPU's.
static UNMASKED: AtomicBool = AtomicBool::new(false);

/// From now on [`interrupts_off`] does nothing.
pub fn mask_nothing() {
    UNMASKED.store(true, Ordering::Relaxed);
}

/// Masks this CPU's interrupts.
pub fn interrupts_off() -> Masked {
    let before = DAIF.get();
    if !UNMASKED.load(Ordering::Relaxed) {
        DAIF.set(before | (DAIF::I::Masked + DAIF::F::Masked).value);
    }
    before
}

/// Undoes the [`interrupts_off`] that returned `before`.
pub fn interrupts_restore(before: Masked) {
    DAIF.set(before);
}

/// A test-and-set lock that masks interrupts. Of several, the last taken is released first.
pub struct IrqLock {
    locked: AtomicBool,
    /// What was masked before; its holder's alone.
    masked: AtomicU64,
}

// SAFETY: `locked` goes from false to true for one caller at a time, with Acquire, and back with
// Release by that caller's unlock.
unsafe impl RawMutex for IrqLock {
    const INIT: Self = Self { locked: AtomicBool::new(false), masked: AtomicU64::new(0) };

    /// Which interrupts are masked is a CPU's own.
    type GuardMarker = GuardNoSend;

    fn lock(&self) {
        while !self.try_lock() {
            while self.locked.load(Ordering::Relaxed) {
                spin_loop();
            }
        }
    }

    fn try_lock(&self) -> bool {
        let masked = interrupts_off();
        let taken = !self.locked.swap(true, Ordering::Acquire);
        if taken {
            self.masked.store(masked, Ordering::Relaxed);
        } else {
            interrupts_restore(masked);
        }
        taken
    }

    unsafe fn unlock(&self) {
        let masked = self.masked.load(Ordering::Relaxed);
        self.locked.store(false, Ordering::Release);
        interrupts_restore(masked);
    }
}
