// ANCHOR: all
//! Proves that a pipe takes no more bytes than the kernel says (Linux).

use std::env;
use std::io::{ErrorKind, Write};

use anyhow::{Result, bail};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use os_pipe::PipeWriter;

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    prove()
}

// ANCHOR: proof
fn prove() -> Result<()> {
    for size in (1..=1024).chain(4000..=4200) {
        let (taken, capacity) = fill(size)?;
        assert!(taken <= capacity, "{taken} bytes by writes of {size}");
        let fills_pages = 4096 % size == 0;
        assert!(taken == capacity || !fills_pages, "gaps after {size}");
        if [1000, 1024].contains(&size) {
            println!("writes of {size} bytes: {taken} of {capacity} taken");
        }
    }
    Ok(())
}
// ANCHOR_END: proof

// ANCHOR: fill
/// How many bytes a pipe takes by such writes, and how many it promises.
fn fill(size: usize) -> Result<(usize, usize)> {
    let (_reader, mut writer) = os_pipe::pipe()?;
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut taken = 0;
    loop {
        match writer.write(&vec![0; size]) {
            Ok(bytes) => taken += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok((taken, capacity(&writer)?))
}
// ANCHOR_END: fill

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
