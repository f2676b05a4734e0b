// ANCHOR: all
//! Exercise: read a frame so that nothing broken passes for a message.

use std::env;
use std::io::{Read, Write};

use anyhow::{Context, Result, bail, ensure};

const MAX_FRAME: u32 = 64 * 1024;

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    check()
}

// ANCHOR: exercise
fn read_frame(pipe: &mut impl Read) -> Result<Vec<u8>> {
    let mut header = [0; 4];
    pipe.read_exact(&mut header)
        .context("cannot read the length")?;
    let length = u32::from_be_bytes(header);
    let mut message = Vec::new();
    pipe.by_ref()
        .take(length.into())
        .read_to_end(&mut message)?;
    Ok(message)
}
// ANCHOR_END: exercise

fn check() -> Result<()> {
    let whole = receive(b"\0\0\0\x05hello").context("not solved yet")?;
    ensure!(whole == b"hello", "not solved yet: the frame was {whole:?}");
    let empty = receive(b"\0\0\0\0").context("not solved yet")?;
    ensure!(empty.is_empty(), "not solved yet: the frame was {empty:?}");
    for broken in [&b""[..], b"\0\0", b"\0\0\0\x05hel"] {
        let refused = receive(broken).is_err();
        let shown = broken.escape_ascii();
        ensure!(refused, "not solved yet: \"{shown}\" passed for a frame");
    }

    let mut long = (MAX_FRAME + 1).to_be_bytes().to_vec();
    long.resize(4 + MAX_FRAME as usize + 1, b'x');
    let refused = read_frame(&mut long.as_slice()).is_err();
    ensure!(refused, "not solved yet: a frame over the limit passed");
    println!("solved: only whole frames within the limit pass");
    Ok(())
}

fn receive(bytes: &[u8]) -> Result<Vec<u8>> {
    let (mut reader, mut writer) = os_pipe::pipe()?;
    writer.write_all(bytes)?;
    drop(writer);
    read_frame(&mut reader)
}
// ANCHOR_END: all
