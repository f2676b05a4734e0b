// ANCHOR: all
//! Proves that a pipe takes as many bytes as the kernel says (Linux).

use std::env;
use std::io::{ErrorKind, Write};

use anyhow::{Result, bail};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use os_pipe::PipeWriter;

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    fill()
}

fn fill() -> Result<()> {
    // ANCHOR: proof
    let (_reader, mut writer) = os_pipe::pipe()?;
    // A full pipe shall be an error here, not a wait.
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut taken = 0;
    let refused = loop {
        match writer.write(&[0; 1024]) {
            Ok(bytes) => taken += bytes,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    assert_eq!(taken, capacity(&writer)?);
    println!("full after {taken} bytes");
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: capacity
#[cfg(target_os = "linux")]
fn capacity(writer: &PipeWriter) -> Result<usize> {
    Ok(fcntl(writer, FcntlArg::F_GETPIPE_SZ)?.try_into()?)
}
// ANCHOR_END: capacity

#[cfg(not(target_os = "linux"))]
fn capacity(_: &PipeWriter) -> Result<usize> {
    bail!("only Linux tells the capacity of a pipe")
}
// ANCHOR_END: all
