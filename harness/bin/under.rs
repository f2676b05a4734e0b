//! Runs a program under a hostile condition: see `harness/under.rs`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    match harness::under::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("under: {error:#}");
            ExitCode::from(harness::hostile::NOT_STARTED)
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("under: the conditions are brought about on Linux only");
    ExitCode::from(harness::hostile::NOT_STARTED)
}
