// ANCHOR: all
//! Proves that a length is refused before any memory is set aside for it.

use std::env;
use std::io::{Read, Write};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    refuse()
}

// ANCHOR: proof
fn refuse() -> Result<()> {
    let (mut reader, mut writer) = os_pipe::pipe()?;
    // Not a frame: a program that speaks another language.
    writer.write_all(b"HTTP/1.1 200 OK")?;
    drop(writer);

    let error = read_frame(&mut reader).err().context("no error")?;
    println!("{error}");
    let mut rest = String::new();
    reader.read_to_string(&mut rest)?;
    assert_eq!(rest, "/1.1 200 OK", "nothing after the length was read");
    Ok(())
}
// ANCHOR_END: proof

const MAX_FRAME: usize = 1024 * 1024;

/// Reads one frame, or `None` if the pipe ends where a frame would begin.
fn read_frame(pipe: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let mut header = Vec::with_capacity(4);
    pipe.by_ref().take(4).read_to_end(&mut header)?;
    if header.is_empty() {
        return Ok(None);
    }
    let Ok(header) = <[u8; 4]>::try_from(header.as_slice()) else {
        bail!("expected a length of 4 bytes, the pipe ended after {header:?}")
    };
    let length = u32::from_be_bytes(header);
    ensure!(
        length as usize <= MAX_FRAME,
        "expected a frame of at most {MAX_FRAME} bytes, not of {length}"
    );
    let mut message = Vec::with_capacity(length as usize);
    let read = pipe
        .by_ref()
        .take(length.into())
        .read_to_end(&mut message)?;
    ensure!(
        read == length as usize,
        "expected a frame of {length} bytes, the pipe ended after {read}"
    );
    Ok(Some(message))
}
// ANCHOR_END: all
