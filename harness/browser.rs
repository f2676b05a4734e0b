//! The Chromium of this machine, which checks the pages and prints them.

use std::env;
use std::path::{Path, PathBuf};

/// What Chromium is called, by who packages it.
const NAMES: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// What to tell a reader who has none.
pub const INSTALL: &str = "there is no Chromium on this machine: install it, \
    for example with sudo apt-get install chromium, or set the variable \
    CHROMIUM to its path";

/// Finds Chromium: where the variable `CHROMIUM` says, or on the `PATH`.
pub fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os("CHROMIUM") {
        return find_program(Path::new(&named));
    }
    NAMES.iter().find_map(|name| find_program(Path::new(name)))
}

/// Looks a program up as a shell does.
pub fn find_program(name: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Joining an absolute name to a folder leaves the name.
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}
