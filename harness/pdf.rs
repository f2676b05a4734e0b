//! Printing the whole book to one file, by Chromium.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::browser;
use crate::site;

/// Where the printed book goes, from the book's root.
pub const FILE: &str = "target/book.pdf";

/// How long the page's scripts may work before it is printed, in the
/// milliseconds of Chromium's own clock, which does not wait for real ones.
const SCRIPT_TIME: u32 = 20_000;

/// Builds the book and prints it to [`FILE`]. Returns the file's path.
///
/// # Errors
/// If there is no Chromium, or if it does not print; or if the book cannot be
/// built.
pub fn print(root: &Path) -> Result<PathBuf> {
    let chromium = browser::find().context(browser::INSTALL)?;
    let place = tempfile::tempdir().context("cannot make a folder")?;
    let pages = site::build_into(root, &place.path().join("pages"))?;
    let file = root.join(FILE);
    fs::create_dir_all(root.join("target"))
        .context("cannot make the folder target")?;
    // An old print must not pass for the new one.
    let _ = fs::remove_file(&file);
    let output = Command::new(&chromium)
        .args(["--headless", "--disable-gpu", "--disable-extensions"])
        .arg("--disable-background-networking")
        // The pages are our own, and in a container or as root Chromium
        // starts in no other way.
        .arg("--no-sandbox")
        .args(["--no-pdf-header-footer", "--generate-pdf-document-outline"])
        .arg(format!("--virtual-time-budget={SCRIPT_TIME}"))
        // A Chromium that is open on the desktop has a profile of its own.
        .arg(argument("--user-data-dir=", &place.path().join("profile")))
        .arg(argument("--print-to-pdf=", &file))
        .arg(argument("file://", &pages.join("print.html")))
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", chromium.display()))?;
    ensure!(
        output.status.success() && file.is_file(),
        "{} did not print the book ({}):\n{}",
        chromium.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(file)
}

fn argument(name: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(name);
    argument.push(path);
    argument
}
