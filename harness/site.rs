//! Building the book's pages, after a check that nothing in them is broken.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use mdbook_driver::MDBook;

use crate::expand;
use crate::includes;

/// The folder with `book.toml`: where Cargo says that the package is, or else
/// the nearest one above the current folder.
///
/// # Errors
/// If there is none.
pub fn root() -> Result<PathBuf> {
    if let Some(package) = std::env::var_os("CARGO_MANIFEST_DIR") {
        return Ok(PathBuf::from(package));
    }
    let here = std::env::current_dir().context("cannot tell where this is")?;
    let root = here
        .ancestors()
        .find(|folder| folder.join("book.toml").is_file())
        .with_context(|| {
            format!(
                "no book.toml in {} or above it: run this command in the \
                 book's folder",
                here.display()
            )
        })?;
    Ok(root.to_owned())
}

/// Builds the book into `destination`, or where `book.toml` says.
/// Returns the folder with the built pages.
///
/// # Errors
/// If `book.toml` or a page is missing or not valid, if an include does not
/// resolve (mdBook alone lets that pass), or if the pages cannot be written.
pub fn build(root: &Path, destination: Option<&Path>) -> Result<PathBuf> {
    for needed in ["book.toml", "src/SUMMARY.md", "listings"] {
        ensure!(
            root.join(needed).exists(),
            "{} is missing in {}: the book cannot be built without it. \
             Restore it, for example with git checkout -- {needed}",
            needed,
            root.display()
        );
    }
    let pages = expand::pages(root)?;
    let (_, problems) = includes::check(root, &pages);
    if !problems.is_empty() {
        let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
        bail!(
            "the pages include what is not there:\n{}\n\
             Mend the path or the anchor, then run the command again",
            list.join("\n")
        );
    }
    let mut book = MDBook::load(root).context("cannot load the book")?;
    if let Some(destination) = destination {
        book.config.build.build_dir = destination.to_owned();
    }
    book.build().context("cannot build the book")?;
    Ok(book.build_dir_for("html"))
}
