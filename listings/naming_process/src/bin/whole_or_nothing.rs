// ANCHOR: all
//! Writes lines into a pipe that has too little space for them.

use std::env;
use std::io::{self, ErrorKind, Read, Write};

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    let (mut reader, mut writer) = io::pipe()?;
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .context("cannot make the pipe non-blocking")?;

    // ANCHOR: proof
    let line = vec![b'x'; libc::PIPE_BUF];
    // Where there is room, a line is taken whole.
    while let Ok(count) = writer.write(&line) {
        assert_eq!(count, libc::PIPE_BUF);
    }
    // The pipe is full. Make room for less than a line.
    reader.read_exact(&mut [0; libc::PIPE_BUF])?;
    writer.write_all(b"y")?;

    let error = writer.write(&line).err().context("the line fitted")?;
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    println!("PIPE_BUF bytes: nothing was written");

    let longer = vec![b'x'; libc::PIPE_BUF + 1];
    let count = writer.write(&longer)?;
    assert!((1..libc::PIPE_BUF).contains(&count));
    println!("one byte more:  a part was written");
    // ANCHOR_END: proof
    Ok(())
}
// ANCHOR_END: all
