//! The serial console, a line at a time.

use core::{
    fmt::{Arguments, Write},
    ptr::NonNull,
};

use arm_pl011_uart::{
    DataBits, LineConfig, PL011Registers, Parity, StopBits, Uart, UniqueMmioPointer,
};

use crate::lock::Mutex;

/// QEMU's clock and a usual speed; the board takes any.
const CLOCK: u32 = 24_000_000;
const SPEED: u32 = 115_200;

static CONSOLE: Mutex<Option<Uart<'static>>> = Mutex::new(None);

/// Takes the UART at `address` into use.
///
/// # Safety
/// A PL011 is there, mapped as device memory, and nobody else's.
pub unsafe fn init(address: NonNull<PL011Registers>) {
    // SAFETY: the caller's promise.
    let mut uart = Uart::new(unsafe { UniqueMmioPointer::new(address) });
    let config =
        LineConfig { data_bits: DataBits::Bits8, parity: Parity::None, stop_bits: StopBits::One };
    // Without a speed, nothing is printed: there is nobody to tell.
    let _ = uart.enable(config, SPEED, CLOCK);
    *CONSOLE.lock() = Some(uart);
}

/// Prints one line; `say!` calls it.
pub fn line(arguments: Arguments<'_>) {
    if let Some(uart) = CONSOLE.lock().as_mut() {
        // A UART takes everything.
        let _ = writeln!(uart, "{arguments}\r");
    }
}

/// Prints one line.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => { $crate::console::line(format_args!($($argument)*)) };
}
