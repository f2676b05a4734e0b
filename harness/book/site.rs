//! Building the book's pages, after a check that nothing in them is broken.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use mdbook_driver::MDBook;
use mdbook_driver::config::Config;

use crate::expand;
use crate::includes;
use crate::inputs;

/// The folder with `book.toml`: the nearest one from where Cargo says that the
/// package is upwards, or else from the current folder.
///
/// # Errors
/// If there is none.
pub fn root() -> Result<PathBuf> {
    let here = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(package) => PathBuf::from(package),
        None => std::env::current_dir().context("cannot tell where this is")?,
    };
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

/// Builds the book where `book.toml` says, unless the pages there were built
/// from the same. Returns the folder with the built pages.
///
/// # Errors
/// Those of [`load`], or if the pages cannot be written.
pub fn build(root: &Path) -> Result<PathBuf> {
    // It lies among the pages, which mdBook removes before it writes others:
    // pages that were not finished have none.
    let note = |pages: &Path| pages.join(".built-from");
    is_complete(root)?;
    let before = inputs::fingerprint(root)?;
    let mut config = Config::from_disk(root.join("book.toml"))
        .context("cannot read book.toml")?;
    config.update_from_env()?;
    let pages = root.join(config.build.build_dir);
    if fs::read_to_string(note(&pages)).is_ok_and(|it| it == before) {
        return Ok(pages);
    }
    let pages = build_into(root, &pages)?;
    fs::write(note(&pages), before).context("cannot note the build")?;
    Ok(pages)
}

/// Builds the book into `destination`.
///
/// # Errors
/// Those of [`load`], or if the pages cannot be written.
pub fn build_into(root: &Path, destination: &Path) -> Result<PathBuf> {
    let mut book = load(root)?;
    book.config.build.build_dir = destination.to_owned();
    book.build().context("cannot build the book")?;
    Ok(book.build_dir_for("html"))
}

/// Loads the book once nothing in it is broken.
///
/// # Errors
/// If `book.toml` or a page is missing or not valid, or if an include does
/// not resolve, which mdBook alone lets pass.
pub fn load(root: &Path) -> Result<MDBook> {
    is_complete(root)?;
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
    MDBook::load(root).context("cannot load the book")
}

fn is_complete(root: &Path) -> Result<()> {
    for needed in ["book.toml", "src/SUMMARY.md", "listings"] {
        ensure!(
            root.join(needed).exists(),
            "{} is missing in {}: the book cannot be built without it. \
             Restore it, for example with git checkout -- {needed}",
            needed,
            root.display()
        );
    }
    Ok(())
}
