//! Takes every anchor out of every listing, so that the benchmark compiles
//! the very code that the pages show:
//!
//! `include!(concat!(env!("OUT_DIR"), "/SECTION/PROGRAM/ANCHOR.rs"));`
//!
//! where `PROGRAM` is the file's name without `.rs`. The anchor has to hold
//! whole items, because `include!` takes nothing less.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let listings = Path::new("../listings");
    println!("cargo::rerun-if-changed={}", listings.display());
    let out = env::var_os("OUT_DIR").context("Cargo sets OUT_DIR")?;
    for section in fs::read_dir(listings)? {
        let section = section?;
        let out = Path::new(&out).join(section.file_name());
        for source in sources(&section.path().join("src"))? {
            let program = source.file_stem().context("a file has a name")?;
            take_anchors(&source, &out.join(program))
                .with_context(|| format!("{}", source.display()))?;
        }
    }
    Ok(())
}

/// `main.rs` and `bin/*.rs`; none where there is no such folder.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in [folder.to_owned(), folder.join("bin")] {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            files.push(entry?.path());
        }
    }
    files.retain(|file| file.extension().is_some_and(|it| it == "rs"));
    Ok(files)
}

/// Writes each anchor's lines to a file of its name. Anchors may nest.
fn take_anchors(source: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out)?;
    let mut open: Vec<(&str, String)> = Vec::new();
    let text = fs::read_to_string(source)?;
    for line in text.lines() {
        if let Some((_, name)) = line.split_once("// ANCHOR: ") {
            open.push((name, String::new()));
        } else if let Some((_, name)) = line.split_once("// ANCHOR_END: ") {
            let at = open.iter().position(|anchor| anchor.0 == name);
            let at = at.with_context(|| format!("{name:?} is not open"))?;
            fs::write(out.join(format!("{name}.rs")), open.remove(at).1)?;
        } else {
            for (_, body) in &mut open {
                body.push_str(line);
                body.push('\n');
            }
        }
    }
    Ok(())
}
