//! The binary `avalon`. Everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    avalon::main()
}
