//! What a program needs beyond Rust and a Unix system.

use std::env;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

static PYTHON: LazyLock<bool> = LazyLock::new(|| {
    let version = Command::new("python3")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
});

/// Whether this machine has python3.
pub fn has_python() -> bool {
    *PYTHON
}

/// Whether a check that needs python3 is to be left out: it is missing, and
/// this is a reader's machine. `source` is the program's text. Where
/// `CI=true` nothing is left out, so that the check fails there.
pub fn is_left_out(name: &str, source: &str) -> bool {
    let needs_python = source.contains("Command::new(\"python3\")");
    let left_out = needs_python && !has_python() && !on_ci();
    if left_out {
        eprintln!("skipped {name}: python3 is missing, install it to run this");
    }
    left_out
}

/// Whether this runs under continuous integration, where nothing is skipped.
pub fn on_ci() -> bool {
    env::var_os("CI").is_some_and(|ci| ci == "true")
}
