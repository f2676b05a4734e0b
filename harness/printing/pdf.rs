//! Printing the whole book to one file, by Chromium.

use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::devtools::Chromium;
use book::site;
use running::chromium;

/// Where the printed book goes, from the book's root.
pub const FILE: &str = "target/book.pdf";

/// How long Chromium may take for its start, to lay the book out, and to print
/// it. Each takes seconds; the machine may be busy with something else.
const PATIENCE: Duration = Duration::from_secs(120);

/// The first Chromium that was seen to write an outline.
const OUTLINE_SINCE: u32 = 121;

/// mdBook's page calls `print` once it is complete, scripts included. Here that
/// prints nothing but keeps a promise, as soon as the fonts are there too.
const SIGNAL: &str = "
    window.complete = new Promise(keep => {
        window.print = () => document.fonts.ready.then(() => keep(true));
    });";

/// The printed book.
pub struct Printed {
    pub file: PathBuf,
    /// What this Chromium cannot do.
    pub remark: Option<String>,
}

/// Builds the book and prints it to [`FILE`].
///
/// # Errors
/// If there is no Chromium, or if it does not print; or if the book cannot be
/// built.
pub fn print(root: &Path) -> Result<Printed> {
    let chromium = chromium::find()?;
    let file = root.join(FILE);
    fs::create_dir_all(root.join("target"))
        .context("cannot make the folder target")?;
    // An old print must not pass for the new one.
    let _ = fs::remove_file(&file);
    let place = tempfile::tempdir().context("cannot make a folder")?;
    let pages = site::build_into(root, &place.path().join("pages"))?;
    let mut chromium = Chromium::start(&chromium, PATIENCE)?;
    let pdf = print_page(&mut chromium, &pages.join("print.html"))?;
    let remark = match pdf.windows(9).any(|it| it == b"/Outlines") {
        true => None,
        false if chromium.major() < OUTLINE_SINCE => Some(format!(
            "Chromium {} puts no outline into a PDF: {OUTLINE_SINCE} or newer \
             does",
            chromium.version()
        )),
        false => {
            anyhow::bail!("Chromium {} printed no outline", chromium.version())
        }
    };
    fs::write(&file, pdf)
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Printed { file, remark })
}

/// Opens one of the book's pages and prints it.
fn print_page(chromium: &mut Chromium, page: &Path) -> Result<Vec<u8>> {
    chromium.open_page()?;
    let signal = json!({ "source": SIGNAL });
    chromium.call("Page.addScriptToEvaluateOnNewDocument", signal)?;
    let address = json!({ "url": address(page)? });
    let answer = chromium.call("Page.navigate", address)?;
    let problem = &answer["errorText"];
    ensure!(problem.is_null(), "cannot open {page:?}: {problem}");
    let complete = json!({ "expression": "complete", "awaitPromise": true });
    chromium
        .call("Runtime.evaluate", complete)
        .context("the page was never complete")?;
    let how = json!({
        "printBackground": true,
        "preferCSSPageSize": true,
        // An old Chromium leaves out what it does not know.
        "generateTaggedPDF": true,
        "generateDocumentOutline": true,
    });
    let printed = chromium.call("Page.printToPDF", how)?;
    let pdf = printed["data"].as_str().unwrap_or_default();
    let pdf = BASE64_STANDARD.decode(pdf).context("this is no base64")?;
    ensure!(pdf.starts_with(b"%PDF-"), "Chromium printed no PDF");
    Ok(pdf)
}

/// The file's URL. A path may have any byte in it.
fn address(file: &Path) -> Result<String> {
    let mut address = String::from("file://");
    for &byte in file.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' => address.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => {
                address.push(char::from(byte));
            }
            _ => write!(address, "%{byte:02X}")?,
        }
    }
    Ok(address)
}
