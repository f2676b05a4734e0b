// ANCHOR: all
//! Proves that an empty packet looks like the end of the queue (Linux).

#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;

use std::env;

use anyhow::{Result, bail};
#[cfg(target_os = "linux")]
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair,
};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    prove()
}

// ANCHOR: proof
#[cfg(target_os = "linux")]
fn prove() -> Result<()> {
    let (sender, receiver) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    let receive = || recv(receiver.as_raw_fd(), &mut [0; 8], NO_FLAGS);

    send(sender.as_raw_fd(), b"", NO_FLAGS)?;
    send(sender.as_raw_fd(), b"more", NO_FLAGS)?;
    let (empty, more) = (receive()?, receive()?);
    drop(sender);
    let end = receive()?;
    assert_eq!((empty, more, end), (0, 4, 0));
    println!("an empty packet: {empty}, the end: {end}");
    Ok(())
}
// ANCHOR_END: proof

#[cfg(target_os = "linux")]
const NO_FLAGS: MsgFlags = MsgFlags::empty();

#[cfg(not(target_os = "linux"))]
fn prove() -> Result<()> {
    bail!("SEQPACKET socket pairs are not to be had here")
}
// ANCHOR_END: all
