//! The atomics of this crate: `core`'s, or those of a checker that explores what threads may do
//! to each other. `lab/` builds this source with `--cfg loom` and with `--cfg shuttle`.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use core::{
    hint::spin_loop,
    sync::atomic::{
        AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    },
};

#[cfg(any(loom, shuttle))]
pub use checked::*;

#[cfg(any(loom, shuttle))]
mod checked {
    //! A checker's atomics cannot be made in constants, or not in memory that was zeroed only, and
    //! each costs something in every execution. These are made when they are first used: a node
    //! has hundreds, of which a model uses few.

    #![expect(missing_docs, reason = "what each does, `core`'s of that name says")]

    use core::{
        cell::UnsafeCell,
        fmt,
        mem::MaybeUninit,
        sync::atomic::{self, AtomicBool},
    };

    #[cfg(loom)]
    pub use loom::hint::spin_loop;
    #[cfg(loom)]
    use loom::sync::atomic as checker;
    #[cfg(shuttle)]
    pub use shuttle::hint::spin_loop;
    #[cfg(shuttle)]
    use shuttle::sync::atomic as checker;

    pub use checker::{Ordering, fence};

    #[cfg(loom)]
    pub use stock::prepare;
    #[cfg(loom)]
    use stock::take;

    #[cfg(shuttle)]
    fn take(first: u64) -> checker::AtomicU64 {
        checker::AtomicU64::new(first)
    }

    #[cfg(loom)]
    mod stock {
        //! loom wants an atomic to be made before any thread uses it, in the order of events that
        //! it checks. So they are made ahead, before a model has a second thread.

        extern crate std;

        use std::{cell::RefCell, thread_local, vec::Vec};

        use super::checker::AtomicU64;

        thread_local! {
            /// Those that hold 0, and those that hold all ones: nothing else comes first. A model
            /// has a thread of the machine to itself, whose threads are loom's.
            static STOCK: RefCell<[Vec<AtomicU64>; 2]> =
                const { RefCell::new([Vec::new(), Vec::new()]) };
        }
        const VALUES: [u64; 2] = [0, u64::MAX];

        /// Makes atomics for one execution of a model: so many that begin with 0, and an eighth
        /// as many that begin with all ones. Called before anything else in it.
        pub fn prepare(count: usize) {
            let fresh = VALUES.map(|value| {
                let count = if value == 0 { count } else { count.div_ceil(8) };
                (0..count).map(|_| AtomicU64::new(value)).collect()
            });
            STOCK.with_borrow_mut(|stock| *stock = fresh);
        }

        pub(super) fn take(first: u64) -> AtomicU64 {
            let made = STOCK.with_borrow_mut(|stock| {
                let (made, _) = stock.iter_mut().zip(VALUES).find(|(_, value)| *value == first)?;
                made.pop()
            });
            // Made only now, it would be taken for one that another thread uses too early.
            made.unwrap_or_else(|| AtomicU64::new(first))
        }
    }

    /// A word of the checker's, made when it is first used. All zero bytes are one that holds 0:
    /// a block in reserve is linked through what was its first word.
    ///
    /// # Invariants
    /// `word` is initialised if `made` says so.
    #[repr(C)]
    struct Lazy {
        first: atomic::AtomicU64,
        made: AtomicBool,
        word: UnsafeCell<MaybeUninit<checker::AtomicU64>>,
    }

    impl Lazy {
        const fn new(first: u64) -> Self {
            let word = UnsafeCell::new(MaybeUninit::uninit());
            Self { first: atomic::AtomicU64::new(first), made: AtomicBool::new(false), word }
        }

        fn get(&self) -> &checker::AtomicU64 {
            if !self.made.load(Ordering::Relaxed) {
                let fresh = take(self.first.load(Ordering::Relaxed));
                // SAFETY: not made, so nobody refers to it; a checker runs one thread at a time
                // and does not switch to another where an atomic is made.
                unsafe { (*self.word.get()).write(fresh) };
                self.made.store(true, Ordering::Relaxed);
            }
            // SAFETY: by the invariant it is initialised; it is never written again.
            let word = unsafe { &*self.word.get() };
            // SAFETY: as above.
            unsafe { word.assume_init_ref() }
        }
    }

    // SAFETY: an atomic, of a checker that runs one thread at a time.
    unsafe impl Send for Lazy {}
    // SAFETY: as above.
    unsafe impl Sync for Lazy {}

    /// A pointer as its number: checkers' atomics hold numbers.
    #[repr(transparent)]
    pub struct AtomicPtr<T> {
        word: Lazy,
        pointee: core::marker::PhantomData<atomic::AtomicPtr<T>>,
    }

    impl<T> AtomicPtr<T> {
        /// A null pointer: none begins as another here.
        pub const fn new(null: *mut T) -> Self {
            assert!(null.is_null(), "a pointer that is not null is stored");
            Self { word: Lazy::new(0), pointee: core::marker::PhantomData }
        }

        pub fn load(&self, ordering: Ordering) -> *mut T {
            core::ptr::with_exposed_provenance_mut(self.word.get().load(ordering) as usize)
        }

        pub fn store(&self, pointer: *mut T, ordering: Ordering) {
            self.word.get().store(pointer.expose_provenance() as u64, ordering);
        }

        pub fn swap(&self, pointer: *mut T, ordering: Ordering) -> *mut T {
            let before = self.word.get().swap(pointer.expose_provenance() as u64, ordering);
            core::ptr::with_exposed_provenance_mut(before as usize)
        }

        pub fn compare_exchange(
            &self,
            from: *mut T,
            to: *mut T,
            success: Ordering,
            failure: Ordering,
        ) -> Result<*mut T, *mut T> {
            let (from, to) = (from.addr() as u64, to.expose_provenance() as u64);
            let pointer = |word| core::ptr::with_exposed_provenance_mut(word as usize);
            let swapped = self.word.get().compare_exchange(from, to, success, failure);
            swapped.map(pointer).map_err(pointer)
        }
    }

    macro_rules! number {
        ($name:ident, $value:ty) => {
            #[repr(transparent)]
            pub struct $name(Lazy);

            impl $name {
                pub const fn new(first: $value) -> Self {
                    Self(Lazy::new(first as u64))
                }

                pub fn load(&self, ordering: Ordering) -> $value {
                    self.0.get().load(ordering) as $value
                }

                pub fn store(&self, value: $value, ordering: Ordering) {
                    self.0.get().store(value as u64, ordering);
                }

                pub fn swap(&self, value: $value, ordering: Ordering) -> $value {
                    self.0.get().swap(value as u64, ordering) as $value
                }

                pub fn compare_exchange(
                    &self,
                    from: $value,
                    to: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    let (from, to) = (from as u64, to as u64);
                    let swapped = self.0.get().compare_exchange(from, to, success, failure);
                    swapped.map(|word| word as $value).map_err(|word| word as $value)
                }

                pub fn fetch_or(&self, value: $value, ordering: Ordering) -> $value {
                    self.0.get().fetch_or(value as u64, ordering) as $value
                }

                pub fn fetch_and(&self, value: $value, ordering: Ordering) -> $value {
                    self.0.get().fetch_and(value as u64, ordering) as $value
                }

                pub fn fetch_add(&self, value: $value, ordering: Ordering) -> $value {
                    self.0.get().fetch_add(value as u64, ordering) as $value
                }

                pub fn fetch_sub(&self, value: $value, ordering: Ordering) -> $value {
                    self.0.get().fetch_sub(value as u64, ordering) as $value
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(stringify!($name))
                }
            }
        };
    }

    number!(AtomicU8, u8);
    number!(AtomicU16, u16);
    number!(AtomicU32, u32);
    number!(AtomicU64, u64);
    number!(AtomicUsize, usize);
}
