//! The codec alone, without index and memory: what a page's tags take to encode and to decode, beside a copy of them.

use std::hint::black_box;

use mteswap::codec::inspect::{self, Kept};

use crate::{pace::Sample, pages::Tags, time::each};

/// The pages one after the other, as often as it takes for so many calls: nanoseconds a page, ours and a copy's.
pub(crate) fn round(pages: &[Tags], calls: u64) -> [(&'static str, [Sample; 2]); 2] {
    let again = calls.div_ceil(pages.len() as u64);
    let mut kept = vec![(Kept::Raw, [0; 128]); pages.len()];
    let mut tags = [0; 16];
    let encode = passes(again, &mut kept, |page, (kept, bytes)| {
        *kept = inspect::encode(&pages[page], bytes).expect("nobody changes it");
    });
    let decode = passes(again, &mut kept, |_, (kept, bytes)| {
        inspect::decode(*kept, bytes, &mut tags).expect("what was encoded");
        black_box(&mut tags);
    });
    // What is timed has to be right, too.
    for (page, (kept, bytes)) in pages.iter().zip(&kept) {
        inspect::decode(*kept, bytes, &mut tags).expect("what was encoded");
        assert_eq!(&tags, page);
    }
    let mut copies = vec![[0; 16]; pages.len()];
    let save = passes(again, &mut copies, |page, copy| *copy = *black_box(&pages[page]));
    let restore = passes(again, &mut copies, |_, copy| {
        tags = *copy;
        black_box(&mut tags);
    });
    [("encode", [encode, save]), ("decode", [decode, restore])]
}

fn passes<T>(again: u64, of: &mut [T], mut call: impl FnMut(usize, &mut T)) -> Sample {
    let len = of.len() as u64;
    each((0..again).flat_map(|_| 0..len), |page| call(page as usize, &mut of[page as usize]))
}
