// ANCHOR: all
//! Opens one log file twice, with and without O_APPEND.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::{env, process};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    // ANCHOR: proof
    let written = write_twice(OpenOptions::new().write(true))?;
    assert_eq!(written, "[Worker-2] started\n");
    println!("write:  {written:?}");

    let written = write_twice(OpenOptions::new().append(true))?;
    assert_eq!(written, "[Worker-1] started\n[Worker-2] started\n");
    println!("append: {written:?}");
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: twice
/// Opens a new file twice, as two processes would, and writes a line each.
fn write_twice(options: &OpenOptions) -> Result<String> {
    let path = env::temp_dir().join(format!("log-{}", process::id()));
    File::create_new(&path).context("cannot create the log")?;
    let log = File::open(&path);
    let opened = (options.open(&path), options.open(&path));
    // What is open can be used without its name, and leaves nothing behind.
    fs::remove_file(&path).context("cannot remove the log")?;
    let (mut first, mut second) = (opened.0?, opened.1?);
    first.write_all(b"[Worker-1] started\n")?;
    second.write_all(b"[Worker-2] started\n")?;
    io::read_to_string(log?).context("cannot read the log")
}
// ANCHOR_END: twice
// ANCHOR_END: all
