//! The serial console, a line at a time.

use core::fmt::{Arguments, Write};

use arm_pl011_uart::{LineConfig, PL011Registers, Uart, UniqueMmioPointer};
use core::ptr::NonNull;

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
    // Without a speed, nothing is printed: there is nobody to tell.
    let _ = uart.enable(LineConfig::default(), SPEED, CLOCK);
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
