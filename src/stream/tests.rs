use std::{vec, vec::Vec};

use super::*;
use crate::tags::{Page4K, Page16K, Page64K};

/// Pages of one run, of few, and of noise.
fn page<P: PageSize>(number: u64) -> P::Words {
    let mut tags = P::ZERO;
    for (word, i) in tags.as_mut().iter_mut().zip(0u64..) {
        let noise = (number * 0x1_0001 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        *word = match number % 3 {
            0 => 0x1111_1111_1111_1111 * (number % 16),
            1 if i < number % 16 => 0,
            1 => 0x2222_2222_0000_0000,
            _ => noise ^ noise >> 29,
        };
    }
    tags
}

/// Keys with gaps of every length of number, the first and the last of all among them.
fn keys() -> Vec<u64> {
    let mut keys = vec![0, 1, 2, 3, 130, 131];
    keys.extend((8..64).map(|bit| 1 << bit));
    keys.extend([u64::MAX - 1, u64::MAX]);
    keys
}

/// A stream of [`keys`]: the header, each record, the end.
fn parts<P: PageSize>() -> Vec<Vec<u8>> {
    let mut buffer = vec![0; room::<P>()];
    let (mut writer, len) = Writer::<P>::begin(Keys::GuestFrames, &mut buffer).unwrap();
    let mut parts = vec![buffer[..len].to_vec()];
    for (key, number) in keys().into_iter().zip(0..) {
        let len = writer.record(key, page::<P>(number).as_ref(), &mut buffer).unwrap();
        parts.push(buffer[..len].to_vec());
    }
    let len = writer.end(&mut buffer).unwrap();
    parts.push(buffer[..len].to_vec());
    parts
}

/// What is in `bytes`: keys and tags, and, unless it was whole, why it ended.
type Found<P> = (Vec<(u64, <P as PageSize>::Words)>, Option<Refused>);

fn read<P: PageSize>(bytes: &[u8]) -> Found<P> {
    let mut found = Vec::new();
    let (mut reader, mut at) = match Reader::<P>::begin(Keys::GuestFrames, bytes) {
        Ok(begun) => begun,
        Err(refused) => return (found, Some(refused)),
    };
    loop {
        let untouched = page::<P>(5);
        let mut tags = untouched;
        match reader.next(&bytes[at..], tags.as_mut()) {
            Ok(Item::Record { key, used }) => {
                found.push((key, tags));
                at += used;
            }
            Ok(Item::End { records, used }) => {
                assert_eq!(records, found.len() as u64);
                assert_eq!(at + used, bytes.len());
                return (found, None);
            }
            Err(refused) => {
                assert_eq!(tags, untouched, "refused, but written to");
                return (found, Some(refused));
            }
        }
    }
}

fn comes_back<P: PageSize>() {
    let (found, refused) = read::<P>(&parts::<P>().concat());
    let wanted: Vec<_> = keys().into_iter().zip((0..).map(page::<P>)).collect();
    assert_eq!((found, refused), (wanted, None));
}

#[test]
fn stream_comes_back_at_every_page_size() {
    comes_back::<Page4K>();
    comes_back::<Page16K>();
    comes_back::<Page64K>();
}

#[test]
fn stream_that_is_cut_off_is_truncated_wherever_it_is_cut() {
    let parts = parts::<Page4K>();
    let bytes = parts.concat();
    for len in 0..bytes.len() {
        let (found, refused) = read::<Page4K>(&bytes[..len]);
        assert_eq!(refused, Some(Refused::Truncated), "cut at {len}");
        // Every record that is there whole is read.
        let mut behind = parts[0].len();
        let whole = parts[1..].iter().take_while(|part| {
            behind += part.len();
            behind <= len
        });
        assert_eq!(found.len(), whole.count());
    }
}

#[test]
fn stream_with_one_bit_changed_is_refused_from_there_on() {
    let parts = parts::<Page4K>();
    let bytes = parts.concat();
    let (wanted, _) = read::<Page4K>(&bytes);
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (found, refused) = read::<Page4K>(&bytes);
        assert!(refused.is_some(), "bit {bit}");
        assert_eq!(found, wanted[..found.len()], "bit {bit}");
        let mut behind = 0;
        let before = parts.iter().take_while(|part| {
            behind += part.len();
            behind <= bit / 8
        });
        assert_eq!(found.len(), before.count().saturating_sub(1), "bit {bit}");
    }
}

#[test]
fn stream_that_lost_or_swapped_records_is_corrupt() {
    let parts = parts::<Page4K>();
    for lost in 1..parts.len() - 1 {
        let mut parts = parts.clone();
        parts.remove(lost);
        let (found, refused) = read::<Page4K>(&parts.concat());
        assert_eq!((found.len(), refused), (lost - 1, Some(Refused::Corrupt)));
    }
    for other in 2..parts.len() - 1 {
        let mut parts = parts.clone();
        parts.swap(1, other);
        assert_eq!(read::<Page4K>(&parts.concat()).1, Some(Refused::Corrupt));
    }
}

#[test]
fn stream_interrupted_anywhere_goes_on_to_the_same_bytes() {
    let parts = parts::<Page4K>();
    let bytes = parts.concat();
    let mut buffer = vec![0; room::<Page4K>()];
    for len in HEADER_BYTES..bytes.len() {
        let cut = &bytes[..len];
        let (mut reader, mut at) = Reader::<Page4K>::begin(Keys::GuestFrames, cut).unwrap();
        while let Ok(Item::Record { used, .. }) = reader.next(&cut[at..], &mut [0u64; 16]) {
            at += used;
        }
        let mut writer = reader.into_writer();
        let mut again = cut[..at].to_vec();
        for (key, number) in keys().into_iter().zip(0..) {
            if writer.next_key().is_some_and(|next| key >= next) {
                let len = writer.record(key, &page::<Page4K>(number), &mut buffer).unwrap();
                again.extend_from_slice(&buffer[..len]);
            }
        }
        let len = writer.end(&mut buffer).unwrap();
        again.extend_from_slice(&buffer[..len]);
        assert!(again == bytes, "cut at {len}");
    }
}

#[test]
fn stream_of_another_kind_is_refused_by_name() {
    let bytes = parts::<Page16K>().concat();
    let header = Header::read(&bytes).unwrap();
    assert_eq!((header.page_shift, header.keys), (14, Keys::GuestFrames as u8));
    let begin = |bytes: &[u8]| Reader::<Page16K>::begin(Keys::GuestFrames, bytes).err();
    assert_eq!(begin(&bytes), None);
    assert_eq!(
        Reader::<Page4K>::begin(Keys::GuestFrames, &bytes).err(),
        Some(Refused::PageShift(14))
    );
    assert_eq!(
        Reader::<Page16K>::begin(Keys::SwapEntries, &bytes).err(),
        Some(Refused::Keys(Keys::GuestFrames as u8))
    );
    assert_eq!(begin(b"\x7fELF and more of it"), Some(Refused::Alien));
    let mut later = bytes.clone();
    later[8] = VERSION + 1;
    // Even where the later one has a shorter header.
    assert_eq!(begin(&later[..9]), Some(Refused::Version(VERSION + 1)));
    let mut text = bytes;
    text[7] = b'\r';
    assert_eq!(begin(&text), Some(Refused::Alien));
}

#[test]
fn stream_takes_keys_in_order_only() {
    let mut buffer = vec![0; room::<Page4K>()];
    let (mut writer, _) = Writer::<Page4K>::begin(Keys::SwapEntries, &mut buffer).unwrap();
    let mut write = |writer: &mut Writer<Page4K>, key| writer.record(key, &[0u64; 16], &mut buffer);
    assert_eq!(writer.next_key(), Some(0));
    assert!(write(&mut writer, 7).is_ok());
    assert_eq!(write(&mut writer, 7), Err(Refused::Order));
    assert_eq!(write(&mut writer, 0), Err(Refused::Order));
    assert_eq!(writer.next_key(), Some(8));
    assert!(write(&mut writer, u64::MAX).is_ok());
    assert_eq!(writer.next_key(), None);
    assert_eq!(write(&mut writer, u64::MAX), Err(Refused::Order));
}

#[test]
fn stream_without_room_is_not_written_and_goes_on() {
    let parts = parts::<Page4K>();
    let mut buffer = vec![0; room::<Page4K>()];
    for len in 0..HEADER_BYTES {
        let begun = Writer::<Page4K>::begin(Keys::GuestFrames, &mut buffer[..len]);
        assert_eq!(begun.err(), Some(Refused::NoRoom));
    }
    let (mut writer, _) = Writer::<Page4K>::begin(Keys::GuestFrames, &mut buffer).unwrap();
    for (key, number) in keys().into_iter().zip(0..) {
        let tags = page::<Page4K>(number);
        let wanted = &parts[number as usize + 1];
        for len in 0..wanted.len() {
            assert_eq!(writer.record(key, &tags, &mut buffer[..len]), Err(Refused::NoRoom));
        }
        assert_eq!(writer.record(key, &tags, &mut buffer), Ok(wanted.len()));
        assert_eq!(&buffer[..wanted.len()], wanted);
    }
    for len in 0..14 {
        assert_eq!(writer.end(&mut buffer[..len]), Err(Refused::NoRoom));
    }
    assert_eq!(writer.end(&mut buffer), Ok(14));
}

/// What a reader does with a record that it would believe, were the checksum all that counts.
#[test]
fn stream_record_that_is_longer_than_its_tags_is_corrupt() {
    let begin = parts::<Page4K>().swap_remove(0);
    let (mut reader, at) = Reader::<Page4K>::begin(Keys::GuestFrames, &begin).unwrap();
    assert_eq!(at, begin.len());
    let sealed = |reader: &Reader<Page4K>, bytes: &[u8]| {
        let check = reader.at.after(0, bytes).half();
        [bytes, &check.to_le_bytes()].concat()
    };
    let mut tags = [3u64; 16];
    let right = sealed(&reader, &[0, 1, 0xb5]);
    // Two encodings, half of one, an unknown one, a gap of two bytes that could be one.
    for wrong in [&[0, 2, 0xb5, 0xb5][..], &[0, 2, 0xa1, 0], &[0, 1, 0], &[0x80, 0, 1, 0xb5]] {
        let wrong = sealed(&reader, wrong);
        assert_eq!(reader.next(&wrong, &mut tags), Err(Refused::Corrupt));
        assert_eq!(tags, [3; 16]);
    }
    assert_eq!(reader.next(&right, &mut tags), Ok(Item::Record { key: 0, used: 5 }));
    assert_eq!(tags, [0x5555_5555_5555_5555; 16]);
}

#[test]
fn stream_any_bytes_are_read_safely() {
    let mut noise = 1u64;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise
    };
    let begin = parts::<Page4K>().swap_remove(0);
    for _ in 0..20_000 {
        let mut bytes = begin.clone();
        let len = next() % 200;
        bytes.extend((0..len).map(|_| next() as u8 & (next() as u8 | 0x80)));
        let (found, refused) = read::<Page4K>(&bytes);
        assert!(refused.is_some() && found.len() < 2);
    }
}
