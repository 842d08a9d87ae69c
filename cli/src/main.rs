//! The binary `avalon`. Everything is in the library beside it.

use std::process::ExitCode;

/// Requests and jobs allocate on one thread and free on another, where the C library's allocator takes locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    avalon::main()
}
