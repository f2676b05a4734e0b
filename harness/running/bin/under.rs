//! Runs a program under a hostile condition: see `harness/running/under.rs`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    match running::under::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("under: {error:#}");
            ExitCode::from(running::hostile::NOT_STARTED)
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("under: the conditions are brought about on Linux only");
    ExitCode::from(running::hostile::NOT_STARTED)
}
