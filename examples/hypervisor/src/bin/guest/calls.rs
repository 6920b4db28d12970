//! Calls of the hypervisor.

use hypercall::{Call, Config, Mismatch, Report};

/// What this guest is to do.
pub fn config() -> Config {
    Config::from_words(call(Call::Config, &[]))
}

/// Gives the shared pages to the other guest, copy on write.
pub fn share() {
    call(Call::Share, &[]);
}

/// Waits until the other guest calls this too.
pub fn barrier() {
    call(Call::Barrier, &[]);
}

/// Says that `address` is not as it should be.
pub fn mismatch(what: Mismatch, address: usize, expected: u64, found: u64) {
    call(Call::Mismatch, &[what as u64, address as u64, expected, found]);
}

/// Gives up the content of the page at `address`: it is fresh afterwards.
pub fn discard(address: usize) {
    call(Call::Discard, &[address as u64]);
}

/// Ends this guest.
pub fn done(report: Report) -> ! {
    call(Call::Done, &report.to_words());
    unreachable!("a guest that has ended runs on");
}

/// Ends everything.
pub fn panic(words: [u64; 4]) -> ! {
    loop {
        call(Call::Panic, &words);
    }
}

fn call(function: Call, arguments: &[u64]) -> [u64; 8] {
    let mut words = [0; 17];
    for (word, argument) in words.iter_mut().zip(arguments) {
        *word = *argument;
    }
    let answers = smccc::hvc64(function as u32, words);
    core::array::from_fn(|index| answers[index])
}
