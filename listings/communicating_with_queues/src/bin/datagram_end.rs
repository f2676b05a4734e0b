// ANCHOR: all
//! Proves that a datagram pair never ends, and a SEQPACKET pair does (Linux).

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

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    prove()
}

// ANCHOR: proof
#[cfg(target_os = "linux")]
fn prove() -> Result<()> {
    let receive_after_end = |kind| {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (sender, receiver) =
            socketpair(AddressFamily::Unix, kind, None, flags)?;
        drop(sender);
        recv(receiver.as_raw_fd(), &mut [0; 8], MsgFlags::MSG_DONTWAIT)
    };
    assert_eq!(receive_after_end(SockType::SeqPacket), Ok(0));
    assert_eq!(receive_after_end(SockType::Datagram), Err(Errno::EAGAIN));
    println!("no sender left: SEQPACKET ends, DGRAM waits for more");
    Ok(())
}
// ANCHOR_END: proof

#[cfg(not(target_os = "linux"))]
fn prove() -> Result<()> {
    bail!("SEQPACKET socket pairs are not to be had here")
}
// ANCHOR_END: all
