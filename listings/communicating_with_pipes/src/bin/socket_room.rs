// ANCHOR: all
//! Proves that a socket counts memory where you count bytes (Linux).

use std::env;
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Result, bail};
use nix::sys::socket::{getsockopt, setsockopt, sockopt::SndBuf};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    if cfg!(not(target_os = "linux")) {
        bail!("this program is about Linux's sockets");
    }
    prove()
}

// ANCHOR: proof
const ASKED: usize = 16 * 1024;

fn prove() -> Result<()> {
    let (granted, by_large_writes) = fill(&[0; 64 * 1024])?;
    let (_, by_small_writes) = fill(&[0])?;
    assert_eq!(granted, 2 * ASKED);
    assert!((granted / 2..=2 * granted).contains(&by_large_writes));
    assert!(by_small_writes < granted / 100);
    println!("asked for {ASKED} bytes, granted {granted}");
    println!("large writes: at least half of it, at most twice as much");
    println!("writes of one byte: less than a hundredth of it");
    Ok(())
}
// ANCHOR_END: proof

// ANCHOR: fill
/// What a socket says of its room, and how many bytes such writes fill it
/// with.
fn fill(message: &[u8]) -> Result<(usize, usize)> {
    let (mut ours, _theirs) = UnixStream::pair()?;
    setsockopt(&ours, SndBuf, &ASKED)?;
    ours.set_nonblocking(true)?;
    let mut taken = 0;
    loop {
        match ours.write(message) {
            Ok(bytes) => taken += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok((getsockopt(&ours, SndBuf)?, taken))
}
// ANCHOR_END: fill
// ANCHOR_END: all
