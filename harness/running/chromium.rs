//! The Chromium of this machine, which checks the pages and prints them.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The oldest one that is known to work.
pub const OLDEST: u32 = 112;

/// What Chromium is called, by who packages it.
const NAMES: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// Finds Chromium: where the variable `CHROMIUM` says, or on the `PATH`.
///
/// # Errors
/// If there is none, with what a reader can do about it.
pub fn find() -> Result<PathBuf> {
    if let Some(named) = env::var_os("CHROMIUM") {
        return find_program(Path::new(&named)).with_context(|| {
            format!("the variable CHROMIUM names no program: {named:?}")
        });
    }
    let found = NAMES.iter().find_map(|name| find_program(Path::new(name)));
    found.with_context(|| {
        format!(
            "there is no Chromium on this machine: install it ({OLDEST} or \
             newer), for example with sudo apt-get install chromium, or set \
             the variable CHROMIUM to its path"
        )
    })
}

/// Looks a program up as a shell does.
fn find_program(name: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Joining an absolute name to a folder leaves the name.
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}
