// ANCHOR: all
//! Proves what happens to packets that are too long (Linux).

#[cfg(target_os = "linux")]
use std::fs::File;
#[cfg(target_os = "linux")]
use std::io::{Read, Write};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;

use std::env;

use anyhow::{Result, bail};
#[cfg(target_os = "linux")]
use nix::errno::Errno;
#[cfg(target_os = "linux")]
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, recv, socketpair,
};
#[cfg(target_os = "linux")]
use nix::unistd::write;

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    prove()
}

#[cfg(target_os = "linux")]
fn prove() -> Result<()> {
    let (sender, receiver) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    let (sender, receiver) = (File::from(sender), File::from(receiver));
    // ANCHOR: proof
    (&sender).write_all(b"a long message")?;
    (&sender).write_all(b"next")?;
    let mut packet = [0; 6];
    (&receiver).read_exact(&mut packet)?;
    assert_eq!(&packet, b"a long");
    let length = (&receiver).read(&mut packet)?;
    assert_eq!(&packet[..length], b"next");
    println!("a buffer of 6 bytes: the tail is lost");

    (&sender).write_all(b"a long message")?;
    let full = MsgFlags::MSG_TRUNC;
    assert_eq!(recv(receiver.as_raw_fd(), &mut packet, full), Ok(14));

    let huge = vec![b'x'; 4 * 1024 * 1024];
    assert_eq!(write(&sender, &huge), Err(Errno::EMSGSIZE));
    println!("a packet of {} bytes: refused", huge.len());
    // ANCHOR_END: proof
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn prove() -> Result<()> {
    bail!("SEQPACKET socket pairs are not to be had here")
}
// ANCHOR_END: all
