//! What a guest and its hypervisor agree on: the layout of guest memory, and the calls.
//!
//! Calls follow the SMC Calling Convention: HVC, function in X0, arguments from X1 on, answers
//! from X0 on.

#![no_std]
#![forbid(unsafe_code)]

/// log2 of a page's bytes.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes of a page.
pub const PAGE: usize = 1 << PAGE_SHIFT;
/// Bytes under one tag.
pub const GRANULE: usize = 16;
/// Granules of a page.
pub const GRANULES: usize = PAGE / GRANULE;

/// Where a guest's memory begins.
pub const RAM: usize = 0x4000_0000;
/// Pages at its beginning that hold the image: code, data, stack. They are never swapped out.
/// After them come the guest's private pages, then those it shares.
pub const IMAGE_PAGES: usize = 64;
/// Guests: one a CPU.
pub const GUESTS: usize = 2;
/// Pages beside the image a guest keeps books of.
pub const MAX_PAGES: usize = 1024;

/// Granules of each page that the guest accesses with a wrong tag, at each visit.
pub const PROBES: usize = 8;

/// SMCCC: a fast 64-bit call of the vendor-specific hypervisor service.
const SERVICE: u32 = 0xc600_0000;

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// The calls.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Call {
            $($(#[$doc])* $name = SERVICE | $number,)*
        }

        impl Call {
            /// The call with this function identifier.
            #[must_use]
            pub fn new(function: u64) -> Option<Self> {
                [$(Self::$name),*].into_iter().find(|call| *call as u64 == function)
            }
        }
    };
}

calls! {
    /// Answers with the words of a [`Config`].
    Config = 1,
    /// Guest 0 gives its shared pages to guest 1, copy on write.
    Share = 2,
    /// Waits for the other guest.
    Barrier = 3,
    /// Something was not as it should be: [`Mismatch`], address, expected, found.
    Mismatch = 4,
    /// Gives up the content of a page, which could not be read: its number.
    Discard = 5,
    /// The guest has ended: the words of a [`Report`].
    Done = 6,
    /// The guest cannot go on: ESR_EL1, FAR_EL1, ELR_EL1, or zeros and the line of a panic.
    Panic = 7,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: u64,)*
        }

        impl $name {
            /// The fields in registers.
            #[must_use]
            pub fn to_words(self) -> [u64; 8] {
                let mut words = [0; 8];
                for (word, field) in words.iter_mut().zip([$(self.$field),*]) {
                    *word = field;
                }
                words
            }

            /// The fields from registers.
            #[must_use]
            pub fn from_words(words: [u64; 8]) -> Self {
                let mut words = words.into_iter();
                Self { $($field: words.next().unwrap_or(0),)* }
            }
        }
    };
}

words! {
    /// What a guest is to do.
    Config {
        /// Which guest it is.
        guest,
        /// Private pages.
        private,
        /// Shared pages.
        shared,
        /// How often guest 0 writes the shared pages and shares them anew.
        epochs,
        /// Visits of random pages in each epoch.
        steps,
        /// Of its random numbers.
        seed,
    }
}

words! {
    /// What a guest has done.
    Report {
        /// Pages of which every granule was looked at.
        visits,
        /// Tags that LDG read.
        tags,
        /// Accesses with a wrong tag that took a tag check fault, as they must.
        faults,
        /// Pages whose data or tags were written.
        writes,
        /// External aborts: accesses to a page that the hypervisor could not bring back.
        aborts,
        /// Pages that came back at the next try.
        recovered,
        /// Pages that never did, and were given up.
        lost,
    }
}

/// What was not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Mismatch {
    /// LDG read another tag.
    Tag = 0,
    /// A word of data is another.
    Data = 1,
    /// An access with the right tag took a tag check fault.
    Fault = 2,
    /// An access with a wrong tag took none.
    NoFault = 3,
}

impl Mismatch {
    /// What a call names by this number.
    #[must_use]
    pub fn name(number: u64) -> &'static str {
        match number {
            n if n == Self::Tag as u64 => "tag",
            n if n == Self::Data as u64 => "data",
            n if n == Self::Fault as u64 => "tag check fault",
            n if n == Self::NoFault as u64 => "no tag check fault",
            _ => "unknown",
        }
    }
}
