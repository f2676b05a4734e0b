// ANCHOR: all
//! Opens one log file twice, with and without O_APPEND.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::{env, process};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    let path = env::temp_dir().join(format!("log-{}", process::id()));
    let result = compare(&path);
    fs::remove_file(&path).context("cannot remove the log")?;
    result
}

fn compare(path: &Path) -> Result<()> {
    // ANCHOR: proof
    let written = write_twice(path, OpenOptions::new().write(true))?;
    assert_eq!(written, "[Worker-2] started\n");
    println!("write:  {written:?}");

    let written = write_twice(path, OpenOptions::new().append(true))?;
    assert_eq!(written, "[Worker-1] started\n[Worker-2] started\n");
    println!("append: {written:?}");
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: twice
/// Opens a new file twice, as two processes would, and writes a line each.
fn write_twice(path: &Path, options: &OpenOptions) -> Result<String> {
    fs::write(path, "").context("cannot create the log")?;
    let mut first = options.open(path)?;
    let mut second = options.open(path)?;
    first.write_all(b"[Worker-1] started\n")?;
    second.write_all(b"[Worker-2] started\n")?;
    fs::read_to_string(path).context("cannot read the log")
}
// ANCHOR_END: twice
// ANCHOR_END: all
