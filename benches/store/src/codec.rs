//! The codec alone, without index and memory: what a page's tags take to encode and to decode, beside a copy of them.

use std::hint::black_box;

use mteswap::codec::inspect::{self, Kept};

use crate::{
    pace::Sample,
    pages::{Random, Tags},
    time::each,
};

/// All pages, as often as it takes for so many calls: nanoseconds a page, ours and a copy's.
pub(crate) fn round(pages: &[Tags], calls: u64) -> [(&'static str, [Sample; 2]); 2] {
    // In another order each time: there are processors that learn the ways that thousands of pages take, where they come again
    // as they came before.
    let mut random = Random(3);
    let order: Vec<usize> = (0..calls.div_ceil(pages.len() as u64))
        .flat_map(|_| {
            let mut once: Vec<usize> = (0..pages.len()).collect();
            random.shuffle(&mut once);
            once
        })
        .collect();
    let mut kept = vec![(Kept::Raw, [0; 128]); pages.len()];
    let mut tags = [0; 16];
    let encode = passes(&order, &mut kept, |page, (kept, bytes)| {
        *kept = inspect::encode(&pages[page], bytes).expect("nobody changes it");
    });
    let decode = passes(&order, &mut kept, |_, (kept, bytes)| {
        inspect::decode(*kept, bytes, &mut tags).expect("what was encoded");
        black_box(&mut tags);
    });
    // What is timed has to be right, too.
    for (page, (kept, bytes)) in pages.iter().zip(&kept) {
        inspect::decode(*kept, bytes, &mut tags).expect("what was encoded");
        assert_eq!(&tags, page);
    }
    let mut copies = vec![[0; 16]; pages.len()];
    let save = passes(&order, &mut copies, |page, copy| *copy = *black_box(&pages[page]));
    let restore = passes(&order, &mut copies, |_, copy| {
        tags = *copy;
        black_box(&mut tags);
    });
    [("encode", [encode, save]), ("decode", [decode, restore])]
}

fn passes<T>(order: &[usize], of: &mut [T], mut call: impl FnMut(usize, &mut T)) -> Sample {
    each(order.iter().map(|page| *page as u64), |page| call(page as usize, &mut of[page as usize]))
}
