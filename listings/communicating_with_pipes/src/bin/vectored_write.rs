// ANCHOR: all
//! Proves that os_pipe writes one slice at a time where std writes them all.

use std::env;
use std::io::{self, IoSlice, Write};

use anyhow::{Result, bail};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    compare()
}

// ANCHOR: proof
fn compare() -> Result<()> {
    let frame = [IoSlice::new(b"head"), IoSlice::new(b"message")];
    let (_reader, mut writer) = os_pipe::pipe()?;
    let from_os_pipe = writer.write_vectored(&frame)?;
    let (_reader, mut writer) = io::pipe()?;
    let from_std = writer.write_vectored(&frame)?;

    assert_eq!((from_os_pipe, from_std), (4, 11));
    println!("os_pipe wrote {from_os_pipe} bytes, std wrote {from_std}");
    Ok(())
}
// ANCHOR_END: proof
// ANCHOR_END: all
