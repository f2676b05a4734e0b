//! Running the programs of the listings so that a test can rely on what it
//! sees: with a deadline, alone in a clean folder, disturbed, killed, changed,
//! under hostile conditions; and remembering what has succeeded.
//!
//! It knows the listings, not the pages: it compiles without mdBook, in
//! seconds.

use std::path::{Path, PathBuf};

pub mod batch;
pub mod chromium;
pub mod depends;
pub mod descendants;
pub mod edits;
pub mod hostile;
pub mod kills;
pub mod needs;
pub mod programs;
pub mod supervise;
#[cfg(target_os = "linux")]
pub mod under;
pub mod verified;

/// The folder with `book.toml`.
///
/// # Panics
/// If the folder was moved or copied together with its target folder. Cargo
/// does not compile again then, and the tests would look at another folder.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).unwrap_or(here);
    let now = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    if let Some(now) = now
        && !now.starts_with(root)
    {
        panic!(
            "this was compiled in {}, and is now in {}: run cargo clean",
            root.display(),
            now.display()
        );
    }
    root
}
